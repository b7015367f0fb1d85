"""Runs before the questions, in Cookiecutter's copy of this repository: renames ``template/`` as
Cookiecutter expects, and defines the answers and computed values of copier.yml for its files.
"""

import json
import sys
from pathlib import Path
from typing import Any

from binaryornot.check import is_binary

REPO = Path.cwd()
sys.path.insert(0, str(REPO))
from cookiecutter_answers import (  # noqa: E402
    ANSWERS_FILE,
    CONFIG,
    QUESTIONS,
    TREE,
    asked,
    is_temporary_copy,
    remove_copy,
    render,
)

#: During the questions, expressions start with a control character, which answers cannot contain,
#: so no answer is ever rendered as a template. Cookiecutter before 2.6 does not support other
#: markers there; it evaluates this start as part of an expression, and does render answers.
START = "{{ '\u001f' and "
ASKING = {
    "block_start_string": "\u001f{%",
    "variable_start_string": START,
    "comment_start_string": "\u001f{#",
}
#: Restores the markers of the files after the last question.
RENDERING = f"{START}cookiecutter._jinja2_env_vars.update(cookiecutter._rendering) }}}}"


def add_values(document: dict[str, Any]) -> dict[str, Any]:
    """Extend cookiecutter.json so that each answer is validated as soon as it is given.

    The files see validated answers and computed values as private variables.
    """
    result = {
        "_extensions": ["cookiecutter_answers.Answers"],
        "_jinja2_env_vars": ASKING,
        "_rendering": document.pop("_jinja2_env_vars"),
    }
    for name, question in QUESTIONS.items():
        if asked(name):
            computed = "{{" in document.pop(name)
            result[name] = expression("default_answer", name) if computed else question["default"]
        result[f"__{name}"] = expression("answer", name)
    return result | document | {"__rendering": RENDERING}


def expression(function: str, name: str) -> str:
    return f"{START}cookiecutter | {function}('{name}') }}}}"


def prepend_aliases(path: Path) -> None:
    """Define the names that a file uses on its first line, which renders to nothing."""
    if is_binary(str(path)):
        return  # Cookiecutter copies binary files unchanged.
    text = path.read_text("utf-8")
    if used := [alias(name) for name in QUESTIONS if name in text]:
        path.write_text("".join([*used, "\n", text]), "utf-8")


def alias(name: str) -> str:
    """Define a name of copier.yml; Cookiecutter's private variables are strings."""
    question, value = QUESTIONS[name], f"cookiecutter.__{name}"
    if question["type"] == "bool":
        value += ' == "True"'
    elif question.get("multiselect") or isinstance(question["default"], list):
        value += ".split()"
    return f"{CONFIG['_envops']['block_start_string']} set {name} = {value} %}}"


def main() -> None:
    tree = (REPO / CONFIG["_subdirectory"]).rename(REPO / TREE)
    print(render(CONFIG["_message_before_copy"], {}))
    path = REPO / "cookiecutter.json"
    path.write_text(json.dumps(add_values(json.loads(path.read_text("utf-8")))), "utf-8")
    (tree / ANSWERS_FILE).rename(REPO / ANSWERS_FILE)
    for path in filter(Path.is_file, tree.rglob("*")):
        prepend_aliases(path)


try:
    main()
except BaseException as error:
    if is_temporary_copy(REPO):
        remove_copy(REPO)
    if isinstance(error, KeyboardInterrupt):
        sys.exit(1)  # Cookiecutter prints the error
    raise
