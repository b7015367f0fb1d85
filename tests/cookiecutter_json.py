"""Generates cookiecutter.json from copier.yml: ``nox -s cookiecutter``."""

import json
from collections.abc import Iterator
from typing import Any

from cookiecutter_answers import CONFIG, ENVIRONMENT, QUESTIONS, answers, asked, choices
from tests.combinations import ROOT

PATH = ROOT / "cookiecutter.json"

#: Options that Cookiecutter always sets itself.
SET_BY_COOKIECUTTER = {"keep_trailing_newline", "undefined"}
#: Computed lists, which do not depend on answers.
CONSTANTS = {
    name: question["default"]
    for name, question in QUESTIONS.items()
    if isinstance(question["default"], list)
}


def document() -> dict[str, Any]:
    """The content of cookiecutter.json; hooks/pre_prompt.py adds what depends on the answers."""
    envops = {"variable_start_string": "{{", "comment_start_string": "{#"} | CONFIG["_envops"]
    visible = list(filter(asked, QUESTIONS))
    return {
        "_jinja2_env_vars": {k: v for k, v in envops.items() if k not in SET_BY_COOKIECUTTER},
        **{name: as_cookiecutter(QUESTIONS[name]["default"]) for name in visible},
        "__prompts__": {name: prompt(name) for name in visible},
    }


def as_cookiecutter(text: str) -> str:
    """A default from copier.yml, with answers named as in Cookiecutter."""
    names = {name: f"cookiecutter.{name}" for name in filter(asked, QUESTIONS)}
    names |= {name: json.dumps(value) for name, value in CONSTANTS.items()}
    tokens = ENVIRONMENT.lex(text)
    return "".join(names.get(v, v) if kind == "name" else v for _, kind, v in tokens)


def prompt(name: str) -> str:
    """The question with its available values, which Cookiecutter would not list."""
    question, lines = QUESTIONS[name], [str(QUESTIONS[name]["help"])]
    if question.get("multiselect"):
        lines = [lines[0].partition(" (")[0] + " (names separated by commas, or none)"]
    if isinstance(question.get("when"), str):
        lines[0] += " (press Enter if it does not apply)"
    if "choices" in question:
        lines += [*(f"    {label}" for label in labels(name)), "   "]
    return "\n".join(lines)


def labels(name: str) -> Iterator[str]:
    """The available values, each with its description."""
    listed = QUESTIONS[name]["choices"]
    errors = choices(name, answers({}, CONSTANTS))
    for label, (value, error) in zip(listed, errors.items(), strict=True):
        if not error:
            yield label if label.startswith(value) else f"{value} — {label}"


def text() -> str:
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), "utf-8")
