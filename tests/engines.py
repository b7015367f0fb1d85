"""Both engines in this process, for tests that render by the thousand.

``tests.combinations.render`` is Copier's; ``bake`` is Cookiecutter's own ``cookiecutter()`` but for
two things: the pre_prompt hook ran once, in ``prepare``, and the other hooks run in this process.
"""

import os
import runpy
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any
from unittest import mock

import jinja2
from binaryornot.check import is_binary
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter
from plumbum import local

#: What an engine reads of this repository.
SOURCES = ("copier.yml", "cookiecutter.json", "cookiecutter_answers.py", "hooks", "template")
#: What makes an environment compile a text differently, beside its class and extensions.
SYNTAX = (
    *("block_start_string", "block_end_string", "variable_start_string", "variable_end_string"),
    *("comment_start_string", "comment_end_string", "line_statement_prefix", "line_comment_prefix"),
    *("trim_blocks", "lstrip_blocks", "newline_sequence", "keep_trailing_newline"),
    *("optimized", "autoescape", "is_async"),
)
BINARY: dict[tuple[int, int, int], bool] = {}
IGNORED = shutil.ignore_patterns("__pycache__", ".*_cache", "instance")


@dataclass(frozen=True)
class Prepared:
    """A template, and a copy of it in which the pre_prompt hook has run."""

    template: Path
    folder: Path


def snapshot(repository: Path, folder: Path) -> Path:
    """What both engines read of this repository, outside git: rendered about twice as fast."""
    folder.mkdir(exist_ok=True)
    for name in SOURCES:
        if (repository / name).is_dir():
            shutil.copytree(repository / name, folder / name, ignore=IGNORED)
        else:
            shutil.copy(repository / name, folder)
    return folder


def prepare(template: Path, folder: Path) -> Prepared:
    """Run the pre_prompt hook once, on a copy of the template in a folder that is not there yet."""
    snapshot(template, folder)
    run_in_process(str(folder / "hooks" / "pre_prompt.py"), folder)
    return Prepared(template, folder)


def bake(prepared: Prepared, folder: Path, answers: Mapping[str, Any]) -> Path:
    """Render through Cookiecutter's API as ``cookiecutter --no-input`` does.

    Args:
        answers: as Copier takes them; a list of components is written as text.

    Returns:
        the project's folder, which is inside ``folder`` and named by its slug.
    """
    given = {name: as_text(value) for name, value in answers.items()}
    # Beside the prepared copy, so that hard links work. The hooks take files out of it.
    with tempfile.TemporaryDirectory(dir=prepared.folder.parent) as work:
        repository = shutil.copytree(prepared.folder, Path(work, "t"), copy_function=os.link)
        config = {"replay_dir": f"{work}/replay", "cookiecutters_dir": f"{work}/cookiecutters"}
        with (
            mock.patch("cookiecutter.main.run_pre_prompt_hook", return_value=repository),
            mock.patch("cookiecutter.hooks.run_script", run_rendered),
            mock.patch("cookiecutter.generate.is_binary", is_binary_once),
        ):
            project = cookiecutter(
                str(prepared.template),
                no_input=True,
                extra_context=given,
                output_dir=str(folder),
                default_config=config,
            )
    return Path(project)


def is_binary_once(path: str) -> bool:
    """What Cookiecutter asks about each file; a hard link is the file it was."""
    found = os.stat(path)
    key = (found.st_ino, found.st_size, found.st_mtime_ns)
    if key not in BINARY:
        BINARY[key] = is_binary(path)
    return BINARY[key]


def as_text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list | tuple) else str(value)


def run_rendered(script: str, folder: Path | str = ".") -> None:
    """A hook that Cookiecutter has rendered into a file of its own, and would leave there."""
    try:
        run_in_process(script, folder)
    finally:
        os.unlink(script)


def run_in_process(script: str, folder: Path | str) -> None:
    """Run a script as the program of its own that it is, but without a new interpreter."""
    working, path = os.getcwd(), sys.path[:]
    os.chdir(folder)
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as error:
        raise FailedHookException(str(error)) from error
    finally:
        os.chdir(working)
        sys.path[:] = path


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything in a folder, by path: permissions and content. Folders end with a slash."""
    found: dict[str, tuple[int, bytes]] = {}
    for path in folder.rglob("*"):
        name, mode = path.relative_to(folder).as_posix(), stat.S_IMODE(path.stat().st_mode)
        found |= {f"{name}/": (mode, b"")} if path.is_dir() else {name: (mode, path.read_bytes())}
    return found


def cache_compiled_templates() -> None:
    """From now on, compile each distinct template once in this process and its forks. Both engines
    make an environment for each render, and compile every file and every part of a path anew.
    """
    compile_anew: Callable[..., CodeType] = jinja2.Environment.compile
    codes: dict[tuple[Any, ...], CodeType] = {}

    def compile_once(self: jinja2.Environment, source: str, *args: Any, **kwargs: Any) -> CodeType:
        options = tuple(getattr(self, name) for name in SYNTAX)
        key = (type(self), *options, *self.extensions, source, args, *kwargs.items())
        if key not in codes:
            codes[key] = compile_anew(self, source, *args, **kwargs)
        return codes[key]

    if compile_anew.__name__ != "compile_once":
        jinja2.Environment.compile = compile_once  # type: ignore[method-assign, assignment]


@contextmanager
def without_git() -> Iterator[None]:
    """Copier asks git about each file that it writes, which costs more than rendering it. For a
    template and a folder outside git the answer is always the same.
    """
    with local.env(PATH=os.devnull):
        yield
