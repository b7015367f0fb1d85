"""Evaluates copier.yml for Cookiecutter: defaults, validators and computed values. Uses only
Cookiecutter's own dependencies (Jinja, PyYAML and Click).

Cookiecutter loads ``Answers`` as a local extension, so an invalid answer is rejected as soon as it
is given and before a folder is created. A hook would be too late, and its failure would be logged
with a traceback.
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
#: What ``template/`` is called in Cookiecutter's copy of this repository.
TREE = "{{ cookiecutter.__project_slug }}"
#: Rendered by post_gen_project.py, because it needs one of Copier's filters.
ANSWERS_FILE = ".copier-answers.yml"


class InvalidAnswer(ClickException):
    """An answer that copier.yml rejects. Click prints the message on one line and exits with 1."""


class Answers(Extension):
    """The filters used in cookiecutter.json. Each receives the answers given so far."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters.update(default_answer=default_answer, answer=answer)
        for folder in filter(is_temporary_copy, map(Path, sys.path)):
            atexit.register(remove_copy, folder)


def is_temporary_copy(folder: Path) -> bool:
    """Whether a folder is the temporary copy that Cookiecutter made of this repository.

    There, ``template/`` has been renamed, and the copy is alone in a new temporary folder.
    """
    parent = folder.resolve().parent
    return (
        (folder / TREE).is_dir()
        and parent.name.startswith("cookiecutter")
        and parent.parent == Path(tempfile.gettempdir()).resolve()
        and list(parent.iterdir()) == [folder.resolve()]
    )


def remove_copy(folder: Path) -> None:
    """Remove the copy and its folder; Cookiecutter removes only the copy, and only on success."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()


def default_answer(given: Mapping[str, Any], name: str) -> str:
    """The default of a question, as a user would type it."""
    value = default(name, answers(given, before(name)))
    return ", ".join(value) or "none" if isinstance(value, list) else str(value)


def answer(given: Mapping[str, Any], name: str) -> str:
    """A validated answer, or a computed value."""
    return as_text(answers(given, [*before(name), name])[name])


def as_text(value: Any) -> str:
    """A value for a private variable of Cookiecutter, which must be a string."""
    return " ".join(value) if isinstance(value, list) else str(value)


def before(name: str) -> Iterable[str]:
    """The questions and computed values that precede a name in copier.yml."""
    return takewhile(name.__ne__, QUESTIONS)


def answers(given: Mapping[str, Any], names: Iterable[str] = tuple(QUESTIONS)) -> dict[str, Any]:
    """Given and computed answers, with the types that templates see.

    Raises:
        InvalidAnswer: copier.yml rejects one of them.
    """
    known: dict[str, Any] = {}
    for name in names:
        if not asked(name):
            known[name] = default(name, known)
        elif name in given:
            known[name] = validate(name, given[name], known)
        else:  # Cookiecutter drops mappings
            raise InvalidAnswer(f"{name}: must be a string.")
    return known


def asked(name: str) -> bool:
    """Whether the question is shown to users."""
    return QUESTIONS[name].get("when") is not False


def default(name: str, known: Mapping[str, Any]) -> Any:
    """The default of a question, given the answers before it."""
    value = QUESTIONS[name]["default"]
    value = render(value, known) if isinstance(value, str) else value
    if QUESTIONS[name].get("multiselect"):
        return split_names(value)
    return value == "True" if QUESTIONS[name]["type"] == "bool" else value


def validate(name: str, value: Any, known: Mapping[str, Any]) -> Any:
    """Validate and convert an answer; several names come in the order of the choices, as in Copier.

    Raises:
        InvalidAnswer: copier.yml rejects it.
    """
    question, text = QUESTIONS[name], "" if value is None else str(value)
    if "choices" in question:
        chosen = split_names(text) if question.get("multiselect") else [text]
        offered = choices(name, known)
        for word in chosen:
            check_choice(name, word, offered)
        return [word for word in offered if word in chosen] if "multiselect" in question else text
    error = render(question.get("validator", ""), {**known, name: text}).strip()
    if error:
        raise InvalidAnswer(f"{name}: {error}")
    return text


def split_names(text: str) -> list[str]:
    """Parse names separated by commas or spaces, or a JSON or YAML list; ``none`` means no name."""
    found = re.findall(r"""[^\s,\[\]"']+""", text)
    return [] if found in (["none"], ["nothing"]) else found


def choices(name: str, known: Mapping[str, Any]) -> dict[str, str]:
    """Value → the error message for choosing it, or an empty string if it is available."""
    listed = QUESTIONS[name]["choices"]
    entries = listed.values() if isinstance(listed, dict) else listed
    full = [entry if isinstance(entry, dict) else {"value": entry} for entry in entries]
    return {entry["value"]: render(entry.get("validator", ""), known) for entry in full}


def check_choice(name: str, word: str, offered: Mapping[str, str]) -> None:
    """Raise ``InvalidAnswer`` if a value is not available."""
    if word not in offered:
        possible = ", ".join(value for value, error in offered.items() if not error)
        raise InvalidAnswer(f"{name}: {word!r} is not one of {possible}.")
    if offered[word]:
        raise InvalidAnswer(f"{name}: {word!r}: {offered[word]}")


def render(text: str, known: Mapping[str, Any]) -> str:
    """Render an expression from copier.yml with these answers."""
    return parsed(text).render(known)


@cache
def parsed(text: str) -> Template:
    return ENVIRONMENT.from_string(text)
