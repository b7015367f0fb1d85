"""Runs after the files are rendered: records the answers for ``copier update`` as Copier would,
and prints the next steps.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

CONTEXT = json.loads(r"""{{ cookiecutter | tojson }}""")
REPO = Path(CONTEXT["_repo_dir"])
sys.path.insert(0, str(REPO))
from cookiecutter_answers import (  # noqa: E402
    ANSWERS_FILE,
    CONFIG,
    ENVIRONMENT,
    QUESTIONS,
    answers,
    asked,
    render,
)


def git(*arguments: str) -> str | None:
    """The output of git in the template's repository; None without git or a repository."""
    if not shutil.which("git") or not (REPO / ".git").exists():
        return None
    result = subprocess.run(["git", *arguments], cwd=REPO, capture_output=True, text=True)
    return result.stdout.strip() or None


def source() -> str:
    """The template's location as the user gave it, or one that Copier finds from any folder."""
    name = str(CONTEXT["_template"])
    for folder in filter(None, (os.environ.get("PWD"), CONTEXT["_output_dir"])):
        if (path := Path(folder, name)).exists():
            return name if Path(name).is_absolute() else os.path.normpath(path)
    if not re.match(r"\.|\w+@|.*://|gh:|gl:", name):
        # A user-defined abbreviation, or the name of a template that Cookiecutter has cached.
        name = git("remote", "get-url", "origin") or name
    known = name.startswith(("git@", "git+", "git://")) or name.endswith((".git", ".zip"))
    return name if known or "://" not in name else f"git+{name}"


def record(known: dict[str, Any]) -> dict[str, Any]:
    """What Copier records: the template's location and version, and the answers."""
    origin = {"_commit": git("describe", "--tags", "--always"), "_src_path": source()}
    given = {name: known[name] for name in filter(asked, QUESTIONS) if applies(name, known)}
    return {name: value for name, value in origin.items() if value} | given


def applies(name: str, known: dict[str, Any]) -> bool:
    return render(str(QUESTIONS[name].get("when", True)), known) == "True"


def to_nice_yaml(value: object) -> str:
    """Copier's filter of the same name."""
    return yaml.dump(value, indent=4, allow_unicode=True, default_flow_style=False)


def main() -> None:
    known = answers(CONTEXT)
    ENVIRONMENT.filters["to_nice_yaml"] = to_nice_yaml
    text = render((REPO / ANSWERS_FILE).read_text("utf-8"), {"_copier_answers": record(known)})
    Path(ANSWERS_FILE).write_text(text, "utf-8", newline="\n")
    shutil.copymode(REPO / ANSWERS_FILE, ANSWERS_FILE)
    place = {"_copier_conf": {"dst_path": Path.cwd()}}
    print(render(CONFIG["_message_after_copy"], known | place))


main()
