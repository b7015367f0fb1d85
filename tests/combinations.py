"""The combinations of answers, read from copier.yml: a component that is added there joins by
itself, and so does a question that only one component asks.
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

#: Names that a service may have: a tame one, and one that every quoting has to survive.
NAMES = {"tame": "My Service", "wild": 'Zoë\'s "best" – ’ \\ <7>' + "漢" * 38}


@cache
def questions() -> dict[str, Any]:
    """copier.yml, as it is written."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text())
    return document


def components() -> list[str]:
    """All components, in the order of the question."""
    return values("components")


def values(question: str) -> list[str]:
    """What can be chosen."""
    choices = questions()[question]["choices"]
    return list(choices.values() if isinstance(choices, dict) else choices)


@cache
def variants() -> dict[str, tuple[str, list[str]]]:
    """Component → the question that only it asks, and that question's values."""
    found = {}
    for name, question in questions().items():
        condition = question.get("when") if isinstance(question, dict) else None
        owner = re.fullmatch(r"\{\{ '(\w+)' in components \}\}", str(condition))
        if owner and owner[1] in components():
            found[owner[1]] = (name, values(name))
    return found


@cache
def levels() -> dict[str, list[str]]:
    """Every answer that varies, and its values; a component that is left out is ``""``."""
    found = {}
    for name in components():
        _, choices = variants().get(name, ("", []))
        found[name] = ["", *(f"{name}:{choice}" for choice in choices)] if choices else ["", name]
    others = {name: values(name) for name in ("python_version", "ci")}
    return found | others | {"name": list(NAMES)}


@dataclass(frozen=True)
class Combination:
    """One set of answers; ``str`` names it on a command line, and ``parse`` reads that."""

    chosen: tuple[str, ...]
    """Components, each with its variant where it has some: ``crud``, ``torch:cuda``."""
    python_version: str
    ci: str
    name: str
    """A key of ``NAMES``."""

    @classmethod
    def parse(cls, text: str) -> "Combination":
        """Read ``crud, torch:cuda python_version=3.12 name=wild``; what is left out is the default.

        Raises:
            ValueError: with a sentence that says what is not known, and what is.
        """
        words, *others = re.sub(r"\s*,\s*", ",", text).split() or [""]
        everything = {"nothing": [], "all": components()}
        named = [complete(word) for word in everything.get(words, words.split(","))]
        answers = dict(named)
        for key, value in named:
            if key in everything:
                raise ValueError(f"Write {key!r} alone: it says what all components are.")
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
        """From one value for each key of ``levels``."""
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
        """What Copier is told."""
        own = (word.split(":") for word in self.chosen if ":" in word)
        return {
            "project_name": NAMES[self.name],
            "components": list(self.components),
            "python_version": self.python_version,
            "ci": self.ci,
            **{variants()[component][0]: value for component, value in own},
        }

    def toggled(self) -> Iterator["Combination"]:
        """Each combination that has one component more or less."""
        for name in components():
            value = "" if name in self.components else levels()[name][1]
            yield Combination.of(self.levels | {name: value})


def complete(word: str) -> tuple[str, str]:
    """``torch:cuda`` → its component and itself; ``torch`` gets the first of its variants."""
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
    """All components, but for some."""
    return Combination.of(Combination.parse("all").levels | dict.fromkeys(without, ""))


def all_combinations() -> list[Combination]:
    """Every choice of components and their variants. Of the other answers, each pair is shuffled
    among them as often as any, always alike; the service of the defaults has theirs.
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
    """How many combinations there are, counted without listing them."""
    count = 1
    for name in components():
        count *= len(levels()[name])
    return count


def covering(strength: int, without: Iterable[str] = ()) -> list[Combination]:
    """A covering array, in which any ``strength`` answers meet in all their values, the two
    extremes, and the service of the defaults.

    Args:
        without: components that no combination has.
    """
    kept = levels() | {name: [""] for name in without}
    rows = covertable.make(kept, strength=min(strength, len(kept)))
    found = [Combination.parse("nothing"), everything(without), default_combination()]
    return list(dict.fromkeys([*found, *map(Combination.of, rows)]))


def sample(count: int, seed: int) -> list[Combination]:
    """So many different ones by chance, the same for the same seed; all where there are no more."""
    found = all_combinations()
    return random.Random(seed).sample(found, min(count, len(found)))


def render(template: Path, folder: Path, vcs_ref: str = "HEAD", /, **answers: Any) -> Path:
    """Render through Copier's API, as ``copier copy --defaults`` does; the rendered folder."""
    copier.run_copy(str(template), folder, answers, vcs_ref=vcs_ref, defaults=True, quiet=True)
    return folder


def run(service: Path, *arguments: str) -> str:
    """What Python prints with these arguments in the service's folder; it must end well."""
    command = [sys.executable, *arguments]
    result = subprocess.run(command, cwd=service, capture_output=True, text=True)
    assert result.returncode == 0, f"{' '.join(arguments)}\n{result.stdout}{result.stderr}"
    return result.stdout
