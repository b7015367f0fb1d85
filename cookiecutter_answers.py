"""The answers as copier.yml understands them, for Cookiecutter: its defaults, validators and
derived words, evaluated with nothing but what Cookiecutter brings (Jinja, PyYAML and Click).

Cookiecutter loads ``Answers`` as a local extension, so that a bad answer ends the questions at once
and before a folder is made. A hook is too late: Cookiecutter logs a traceback when one fails.
"""

import atexit
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml
from click import ClickException
from jinja2 import Environment, StrictUndefined, Template
from jinja2.ext import Extension

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CONFIG: dict[str, Any] = yaml.load(
    Path(__file__).with_name("copier.yml").read_text("utf-8"), LOADER
)
QUESTIONS: dict[str, dict[str, Any]] = {k: v for k, v in CONFIG.items() if not k.startswith("_")}
ENVIRONMENT = Environment(**CONFIG["_envops"] | {"undefined": StrictUndefined})
#: The name of ``template/`` in Cookiecutter's copy of this repository.
TREE = "{{ cookiecutter.__project_slug }}"
#: Rendered by post_gen_project.py: its filter is Copier's.
ANSWERS_FILE = ".copier-answers.yml"


class Refused(ClickException):
    """An answer that copier.yml does not take. Click shows it in one line and exits with 1."""


class Answers(Extension):
    """The filters of cookiecutter.json. Each looks at the answers that were given so far."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters.update(default_answer=default_answer, answer=answer)
        for folder in filter(is_temporary_copy, map(Path, sys.path)):
            atexit.register(remove_copy, folder)


def is_temporary_copy(folder: Path) -> bool:
    """Is it what Cookiecutter made of this repository for one run? Only there ``template/`` has
    Cookiecutter's name, alone in a new folder among the temporary ones.
    """
    made = folder.resolve().parent
    return (
        (folder / TREE).is_dir()
        and made.name.startswith("cookiecutter")
        and made.parent == Path(tempfile.gettempdir()).resolve()
        and list(made.iterdir()) == [folder.resolve()]
    )


def remove_copy(folder: Path) -> None:
    """Cookiecutter removes its copy only after a success, and never the folder that it is in."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()


def default_answer(given: Mapping[str, Any], name: str) -> str:
    """What a question offers, as people would write it."""
    value = default(name, answers(given, before(name)))
    return ", ".join(value) or "none" if isinstance(value, list) else str(value)


def answer(given: Mapping[str, Any], name: str) -> str:
    """An answer that is checked, or a derived word."""
    return as_text(answers(given, [*before(name), name])[name])


def as_text(value: Any) -> str:
    """A value as a private variable of Cookiecutter, which is always a text."""
    return " ".join(value) if isinstance(value, list) else str(value)


def before(name: str) -> Iterable[str]:
    """The questions that copier.yml asks or derives earlier."""
    return takewhile(name.__ne__, QUESTIONS)


def answers(given: Mapping[str, Any], names: Iterable[str] = tuple(QUESTIONS)) -> dict[str, Any]:
    """Given and derived answers, typed as in a template.

    Raises:
        Refused: one of them is not what copier.yml takes.
    """
    known: dict[str, Any] = {}
    for name in names:
        if not asked(name):
            known[name] = default(name, known)
        elif name in given:
            known[name] = checked(name, given[name], known)
        else:  # Cookiecutter passes no mapping on
            raise Refused(f"{name}: write one text.")
    return known


def asked(name: str) -> bool:
    """Do people see the question?"""
    return QUESTIONS[name].get("when") is not False


def default(name: str, known: Mapping[str, Any]) -> Any:
    """The default of a question, after the answers before it."""
    value = QUESTIONS[name]["default"]
    value = render(value, known) if isinstance(value, str) else value
    if QUESTIONS[name].get("multiselect"):
        return words(value)
    return value == "True" if QUESTIONS[name]["type"] == "bool" else value


def checked(name: str, value: Any, known: Mapping[str, Any]) -> Any:
    """An answer as its question takes it; names in the order of the choices, as in Copier."""
    question, text = QUESTIONS[name], "" if value is None else str(value)
    if "choices" in question:
        chosen = words(text) if question.get("multiselect") else [text]
        offered = choices(name, known)
        for word in chosen:
            check_choice(name, word, offered)
        return [word for word in offered if word in chosen] if "multiselect" in question else text
    sentence = render(question.get("validator", ""), {**known, name: text}).strip()
    if sentence:
        raise Refused(f"{name}: {sentence}")
    return text


def words(text: str) -> list[str]:
    """Names with commas or spaces between, or a JSON or YAML list; ``none`` is no name."""
    found = re.findall(r"""[^\s,\[\]"']+""", text)
    return [] if found in (["none"], ["nothing"]) else found


def choices(name: str, known: Mapping[str, Any]) -> dict[str, str]:
    """The values of a question, each with the sentence that refuses it, or with nothing."""
    listed = QUESTIONS[name]["choices"]
    entries = listed.values() if isinstance(listed, dict) else listed
    full = [entry if isinstance(entry, dict) else {"value": entry} for entry in entries]
    return {entry["value"]: render(entry.get("validator", ""), known) for entry in full}


def check_choice(name: str, word: str, offered: Mapping[str, str]) -> None:
    """Refuse a value that is not offered."""
    if word not in offered:
        possible = ", ".join(value for value, refusal in offered.items() if not refusal)
        raise Refused(f"{name}: {word!r} is not one of {possible}.")
    if offered[word]:
        raise Refused(f"{name}: {word!r}: {offered[word]}")


def render(text: str, known: Mapping[str, Any]) -> str:
    """A text of copier.yml with these answers."""
    return parsed(text).render(known)


@cache
def parsed(text: str) -> Template:
    return ENVIRONMENT.from_string(text)
