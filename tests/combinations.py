"""The combinations of answers, read from copier.yml. New components are included automatically,
and so are questions that belong to a single component.
"""

import random
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any

import copier
import covertable
import yaml

import cookiecutter_answers

ROOT = Path(__file__).resolve().parent.parent

#: Project names: an ordinary one, and one that tests quoting.
NAMES = {"tame": "My Service", "wild": 'Zoë\'s "best" – ’ \\ <7>' + "漢" * 38}


@cache
def questions() -> dict[str, Any]:
    """The parsed copier.yml."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text())
    return document


def components() -> list[str]:
    """All components, in the order of copier.yml."""
    return values("components")


def values(question: str) -> list[str]:
    """The possible answers to a question with choices."""
    choices = questions()[question]["choices"]
    return list(choices.values() if isinstance(choices, dict) else choices)


@cache
def variants() -> dict[str, tuple[str, list[str]]]:
    """Component → the name and values of its own question, for components that have one."""
    found = {}
    for name, question in questions().items():
        condition = question.get("when") if isinstance(question, dict) else None
        owner = re.fullmatch(r"\{\{ '(\w+)' in components \}\}", str(condition))
        if owner and owner[1] in components():
            found[owner[1]] = (name, values(name))
    return found


@cache
def levels() -> dict[str, list[str]]:
    """Answer → its possible values; ``""`` stands for a component that is not chosen."""
    found = {}
    for name in components():
        _, choices = variants().get(name, ("", []))
        found[name] = ["", *(f"{name}:{choice}" for choice in choices)] if choices else ["", name]
    others = {name: values(name) for name in ("python_version", "ci")}
    return found | others | {"name": list(NAMES)}


@dataclass(frozen=True)
class Combination:
    """One set of answers. ``str`` gives its name on the command line; ``parse`` reads it back."""

    chosen: tuple[str, ...]
    """Components, with their variant if they have any: ``crud``, ``torch:cuda``."""
    python_version: str
    ci: str
    name: str
    """A key of ``NAMES``."""

    @classmethod
    def parse(cls, text: str) -> "Combination":
        """Parse ``crud, torch:cuda python_version=3.12 name=wild``; other answers are defaults.

        Raises:
            ValueError: the text is invalid; the message lists the valid values.
        """
        words, *others = re.sub(r"\s*,\s*", ",", text).split() or [""]
        everything = {"nothing": [], "all": components()}
        named = [complete(word) for word in everything.get(words, words.split(","))]
        answers = dict(named)
        for key, value in named:
            if key in everything:
                raise ValueError(f"Write {key!r} alone: it cannot be combined with components.")
            if value != answers[key]:
                raise ValueError(f"Choose between {value!r} and {answers[key]!r}: both are {key}.")
        for other in others:
            key, equals, value = other.partition("=")
            if not equals or key in components():
                raise ValueError(
                    f"Write {other!r} with a comma before it if it is a component; other answers "
                    "are written as python_version=3.12."
                )
            answers[key] = value
        for key, value in answers.items():
            if value not in levels().get(key, []):
                known = [level for levels_ in levels().values() for level in levels_ if level]
                raise ValueError(f"There is no {value or key!r}. There are: {', '.join(known)}.")
        return cls.of(default_levels() | answers)

    @classmethod
    def of(cls, answers: dict[str, str]) -> "Combination":
        """Build a combination from one value for each key of ``levels()``."""
        chosen = tuple(answers[name] for name in components() if answers[name])
        return cls(chosen, answers["python_version"], answers["ci"], answers["name"])

    def __str__(self) -> str:
        default = default_levels()
        words = [",".join(self.chosen) or "nothing"]
        for key in ("python_version", "ci", "name"):
            if getattr(self, key) != default[key]:
                words.append(f"{key}={getattr(self, key)}")
        return " ".join(words)

    @property
    def components(self) -> tuple[str, ...]:
        return tuple(word.partition(":")[0] for word in self.chosen)

    @property
    def levels(self) -> dict[str, str]:
        """One value for each key of ``levels()``."""
        chosen = dict(zip(self.components, self.chosen, strict=True))
        named = {name: chosen.get(name, "") for name in components()}
        others = {"python_version": self.python_version, "ci": self.ci, "name": self.name}
        return named | others

    @property
    def answers(self) -> dict[str, Any]:
        """The answers for Copier."""
        own = (word.split(":") for word in self.chosen if ":" in word)
        return {
            "project_name": NAMES[self.name],
            "components": list(self.components),
            "python_version": self.python_version,
            "ci": self.ci,
            **{variants()[component][0]: value for component, value in own},
        }

    def toggled(self) -> Iterator["Combination"]:
        """Each combination with one component added or removed."""
        for name in components():
            value = "" if name in self.components else levels()[name][1]
            yield Combination.of(self.levels | {name: value})


def complete(word: str) -> tuple[str, str]:
    """``torch:cuda`` → ``("torch", "torch:cuda")``; the first variant is the default."""
    name, _, variant = word.partition(":")
    found = levels().get(name, ["", ""])
    return name, word if variant or name not in variants() else found[1]


def default_levels() -> dict[str, str]:
    others = {name: questions()[name]["default"] for name in ("python_version", "ci")}
    return dict.fromkeys(components(), "") | others | {"name": "tame"}


def default_combination() -> Combination:
    """What ``copier copy --defaults`` renders."""
    known: dict[str, Any] = {}
    for name in cookiecutter_answers.QUESTIONS:
        known[name] = cookiecutter_answers.default(name, known)
    return Combination.parse(",".join(known["components"]) or "nothing")


def everything(without: Iterable[str] = ()) -> Combination:
    """All components except those in ``without``."""
    return Combination.of(Combination.parse("all").levels | dict.fromkeys(without, ""))


def all_combinations() -> list[Combination]:
    """Every choice of components and their variants, with the other answers distributed evenly.

    The distribution is pseudo-random but always the same; the default service keeps its answers.
    """
    names, default = components(), default_combination()
    choices = list(product(*(levels()[name] for name in names)))
    usual = (default.python_version, default.ci, default.name)
    others = product(*(levels()[name] for name in ("python_version", "ci", "name")))
    turns = list(islice(cycle(others), len(choices)))
    random.Random(0).shuffle(turns)
    place = choices.index(tuple(default.levels[name] for name in names))
    other = turns.index(usual)
    turns[place], turns[other] = turns[other], turns[place]
    return [
        Combination.of(
            dict(zip(names, choice, strict=True))
            | dict(zip(("python_version", "ci", "name"), turn, strict=True))
        )
        for choice, turn in zip(choices, turns, strict=True)
    ]


def expected_count() -> int:
    """The number of combinations, calculated without listing them."""
    count = 1
    for name in components():
        count *= len(levels()[name])
    return count


def covering(strength: int, without: Iterable[str] = ()) -> list[Combination]:
    """A covering array: any ``strength`` answers occur in all combinations of their values.

    It also contains the service without components, the one with all, and the default service.

    Args:
        without: components to leave out of all combinations.
    """
    kept = levels() | {name: [""] for name in without}
    rows = covertable.make(kept, strength=min(strength, len(kept)))
    found = [Combination.parse("nothing"), everything(without), default_combination()]
    return list(dict.fromkeys([*found, *map(Combination.of, rows)]))


def sample(count: int, seed: int) -> list[Combination]:
    """``count`` random combinations, or all if there are fewer; reproducible by ``seed``."""
    found = all_combinations()
    return random.Random(seed).sample(found, min(count, len(found)))


def render(template: Path, folder: Path, vcs_ref: str = "HEAD", /, **answers: Any) -> Path:
    """Render like ``copier copy --defaults``, through Copier's API; returns ``folder``."""
    copier.run_copy(str(template), folder, answers, vcs_ref=vcs_ref, defaults=True, quiet=True)
    return folder


def run(service: Path, *arguments: str) -> str:
    """Run Python in the service's folder and return its output; fail if it fails."""
    command = [sys.executable, *arguments]
    result = subprocess.run(command, cwd=service, capture_output=True, text=True)
    assert result.returncode == 0, f"{' '.join(arguments)}\n{result.stdout}{result.stderr}"
    return result.stdout
