"""Runs Cookiecutter in-process and caches templates, for tests that render thousands of services.

``bake`` is the counterpart of ``tests.combinations.render``. It calls ``cookiecutter()``, except
that the pre_prompt hook has run once before, in ``prepare``, and the other hooks run in-process.
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

#: The parts of this repository that the engines read.
SOURCES = ("copier.yml", "cookiecutter.json", "cookiecutter_answers.py", "hooks", "template")
#: Attributes of a Jinja environment that affect compilation, besides its class and extensions.
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
    """A template, and a copy of it on which the pre_prompt hook has run."""

    template: Path
    folder: Path


def snapshot(repository: Path, folder: Path) -> Path:
    """Copy what the engines read; outside git it renders about twice as fast."""
    folder.mkdir(exist_ok=True)
    for name in SOURCES:
        if (repository / name).is_dir():
            shutil.copytree(repository / name, folder / name, ignore=IGNORED)
        else:
            shutil.copy(repository / name, folder)
    return folder


def prepare(template: Path, folder: Path) -> Prepared:
    """Copy the template to a new folder and run the pre_prompt hook on it."""
    snapshot(template, folder)
    run_in_process(str(folder / "hooks" / "pre_prompt.py"), folder)
    return Prepared(template, folder)


def bake(prepared: Prepared, folder: Path, answers: Mapping[str, Any]) -> Path:
    """Render like ``cookiecutter --no-input``, through Cookiecutter's API.

    Args:
        answers: the same as for Copier.

    Returns:
        the project's folder, which is in ``folder`` and named after its slug.
    """
    given = {name: as_text(value) for name, value in answers.items()}
    # Work on a copy, since the hooks remove files; hard links need the same file system.
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
    """Cache ``is_binary`` by inode, which hard links share."""
    found = os.stat(path)
    key = (found.st_ino, found.st_size, found.st_mtime_ns)
    if key not in BINARY:
        BINARY[key] = is_binary(path)
    return BINARY[key]


def as_text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list | tuple) else str(value)


def run_rendered(script: str, folder: Path | str = ".") -> None:
    """Run a rendered hook and delete its file, which Cookiecutter would leave behind."""
    try:
        run_in_process(script, folder)
    finally:
        os.unlink(script)


def run_in_process(script: str, folder: Path | str) -> None:
    """Run a script as a program, without starting an interpreter."""
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
    """Path → permissions and content of everything in a folder. Folders end with a slash."""
    found: dict[str, tuple[int, bytes]] = {}
    for path in folder.rglob("*"):
        name, mode = path.relative_to(folder).as_posix(), stat.S_IMODE(path.stat().st_mode)
        found |= {f"{name}/": (mode, b"")} if path.is_dir() else {name: (mode, path.read_bytes())}
    return found


def cache_compiled_templates() -> None:
    """Compile each distinct template once in this process and its forks. By default, both engines
    compile all files and paths again for each render, because they create a new environment.
    """
    compile_template: Callable[..., CodeType] = jinja2.Environment.compile
    codes: dict[tuple[Any, ...], CodeType] = {}

    def compile_once(self: jinja2.Environment, source: str, *args: Any, **kwargs: Any) -> CodeType:
        options = tuple(getattr(self, name) for name in SYNTAX)
        key = (type(self), *options, *self.extensions, source, args, *kwargs.items())
        if key not in codes:
            codes[key] = compile_template(self, source, *args, **kwargs)
        return codes[key]

    if compile_template.__name__ != "compile_once":
        jinja2.Environment.compile = compile_once  # type: ignore[method-assign, assignment]


@contextmanager
def without_git() -> Iterator[None]:
    """Hide git from Copier, which would run it for each file; that takes longer than rendering. The
    result is the same for a template and a destination outside git.
    """
    with local.env(PATH=os.devnull):
        yield
