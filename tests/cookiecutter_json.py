"""Writes cookiecutter.json, which follows from copier.yml: ``nox -s cookiecutter``."""

import json
from collections.abc import Iterator
from typing import Any

from cookiecutter_answers import CONFIG, QUESTIONS, answers, asked, choices
from tests.combinations import ROOT

PATH = ROOT / "cookiecutter.json"

#: While Cookiecutter asks, an expression starts with a control character, which no answer may hold.
#: So an answer is a text, whatever it looks like, and never a template.
MARK = "\u001f"
ASKING = {
    "block_start_string": f"{MARK}{{%",
    "variable_start_string": f"{MARK}{{{{",
    "comment_start_string": f"{MARK}{{#",
}
#: In the files, copier.yml's markers. Cookiecutter itself sets the two that are left out.
RENDERING = {"variable_start_string": "{{", "comment_start_string": "{#"} | {
    name: value
    for name, value in CONFIG["_envops"].items()
    if name not in {"keep_trailing_newline", "undefined"}
}


def document() -> dict[str, Any]:
    """cookiecutter.json: each question, and as a private variable what the templates see of it."""
    return {
        "_extensions": ["cookiecutter_answers.Answers"],
        "_jinja2_env_vars": ASKING,
        "_envops": RENDERING,
        **dict(variables()),
        "__envops": expression("cookiecutter._jinja2_env_vars.update(cookiecutter._envops)"),
        "__prompts__": {name: prompt(name) for name in filter(asked, QUESTIONS)},
    }


def variables() -> Iterator[tuple[str, str]]:
    for name, question in QUESTIONS.items():
        if asked(name):
            default = question["default"]
            computed = expression(f"cookiecutter | default_answer('{name}')")
            yield name, computed if "{{" in default else default
        yield f"__{name}", expression(f"cookiecutter | answer('{name}')")


def expression(text: str) -> str:
    return f"{MARK}{{{{ {text} }}}}"


def prompt(name: str) -> str:
    """The question, and the values that it takes today: Cookiecutter shows no list of its own."""
    question, lines = QUESTIONS[name], [str(QUESTIONS[name]["help"])]
    if question.get("multiselect"):
        lines = [lines[0].partition(" (")[0] + " (names with commas between, or none)"]
    if "choices" in question:
        lines += [f"    {label}" for label in labels(name)]
    if isinstance(question.get("when"), str):
        lines[0] += " (Enter where it does not matter)"
    return "\n".join([*lines, "   "] if len(lines) > 1 else lines)


def labels(name: str) -> Iterator[str]:
    """What people may write, with what it means."""
    listed = QUESTIONS[name]["choices"]
    hidden = [other for other in QUESTIONS if isinstance(QUESTIONS[other]["default"], list)]
    refusals = choices(name, answers({}, hidden))
    for label, (value, refusal) in zip(listed, refusals.items(), strict=True):
        if not refusal:
            yield label if label.startswith(value) else f"{value} — {label}"


def text() -> str:
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), "utf-8")
