"""Before the questions, in Cookiecutter's own copy of this repository: give ``template/`` the name
that Cookiecutter looks for, and its files the words of copier.yml.
"""

import sys
from pathlib import Path

REPO = Path.cwd()
sys.path.insert(0, str(REPO))
from cookiecutter_answers import ANSWERS_FILE, CONFIG, QUESTIONS, TREE, render  # noqa: E402


def alias(name: str) -> str:
    """Call an answer what copier.yml calls it; private variables of Cookiecutter are texts."""
    question, value = QUESTIONS[name], f"cookiecutter.__{name}"
    if question["type"] == "bool":
        value += ' == "True"'
    elif question.get("multiselect") or isinstance(question["default"], list):
        value += ".split()"
    return f"{CONFIG['_envops']['block_start_string']} set {name} = {value} %}}"


def prepend_aliases(path: Path) -> None:
    """One line ahead of a text, of the words that it uses. Nothing of it is left in a project."""
    content = path.read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return  # Not a text: copied as it is.
    used = [alias(name) for name in QUESTIONS if name in text]
    if used:
        path.write_bytes("".join([*used, "\n"]).encode() + content)


def main() -> None:
    print(render(CONFIG["_message_before_copy"], {}))
    tree = (REPO / CONFIG["_subdirectory"]).rename(REPO / TREE)
    (tree / ANSWERS_FILE).rename(REPO / ANSWERS_FILE)
    for path in filter(Path.is_file, tree.rglob("*")):
        prepend_aliases(path)


main()
