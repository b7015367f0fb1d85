"""Writes cookiecutter.json, which follows from copier.yml: ``nox -s cookiecutter``."""

import json
from collections.abc import Iterator
from typing import Any

from cookiecutter_answers import CONFIG, ENVIRONMENT, QUESTIONS, answers, asked, choices
from tests.combinations import ROOT

PATH = ROOT / "cookiecutter.json"

#: Cookiecutter knows the others as well, and always sets these two itself.
ITS_OWN = {"keep_trailing_newline", "undefined"}
#: Lists that are the same in each render.
CONSTANTS = {
    name: question["default"]
    for name, question in QUESTIONS.items()
    if isinstance(question["default"], list)
}


def document() -> dict[str, Any]:
    """cookiecutter.json. hooks/pre_prompt.py adds what the files see of the answers."""
    envops = {"variable_start_string": "{{", "comment_start_string": "{#"} | CONFIG["_envops"]
    visible = list(filter(asked, QUESTIONS))
    return {
        "_jinja2_env_vars": {k: v for k, v in envops.items() if k not in ITS_OWN},
        **{name: in_its_words(QUESTIONS[name]["default"]) for name in visible},
        "__prompts__": {name: prompt(name) for name in visible},
    }


def in_its_words(text: str) -> str:
    """A default of copier.yml, with the names that Cookiecutter gives the other answers."""
    names = {name: f"cookiecutter.{name}" for name in filter(asked, QUESTIONS)}
    names |= {name: json.dumps(value) for name, value in CONSTANTS.items()}
    tokens = ENVIRONMENT.lex(text)
    return "".join(names.get(v, v) if kind == "name" else v for _, kind, v in tokens)


def prompt(name: str) -> str:
    """The question, and the values that it takes today: Cookiecutter shows no list of its own."""
    question, lines = QUESTIONS[name], [str(QUESTIONS[name]["help"])]
    if question.get("multiselect"):
        lines = [lines[0].partition(" (")[0] + " (names with commas between, or none)"]
    if isinstance(question.get("when"), str):
        lines[0] += " (Enter where it does not matter)"
    if "choices" in question:
        lines += [*(f"    {label}" for label in labels(name)), "   "]
    return "\n".join(lines)


def labels(name: str) -> Iterator[str]:
    """What people may write, with what it means."""
    listed = QUESTIONS[name]["choices"]
    refusals = choices(name, answers({}, CONSTANTS))
    for label, (value, refusal) in zip(listed, refusals.items(), strict=True):
        if not refusal:
            yield label if label.startswith(value) else f"{value} — {label}"


def text() -> str:
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), "utf-8")
