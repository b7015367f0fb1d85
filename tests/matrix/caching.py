"""Caches work that libraries repeat for each service, in this process and its forks. The results
do not change.

Five small combinations take 2.8 core-seconds each, instead of 5.0. Rendering takes 0.2 instead of
1.8 with Copier, and 0.2 instead of 0.7 with Cookiecutter. Setting up takes 13 s.
"""

import importlib
import importlib._bootstrap_external as bootstrap
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock
from zlib import crc32

import copier._template
from _pytest.assertion import rewrite
from copier._main import Worker
from werkzeug.routing import Map, Rule

from tests import oracle
from tests.combinations import Combination
from tests.engines import cache_compiled_templates


def cache_everything() -> None:
    """Enable all caches. Call it after importing everything that forks will import."""
    cache_compiled_templates()
    cache_questions()
    cache_render_contexts()
    cache_torchlib()
    cache_url_builders()
    drop_loggers()


def cache_questions() -> None:
    """Parse copier.yml once rather than for each service."""
    load = copier._template.load_template_config
    parse = cache(lambda path, time: load(path))

    def load_cached(conf_path: Path, quiet: bool = False) -> dict[str, Any]:
        return deepcopy(parse(conf_path, conf_path.stat().st_mtime_ns))

    copier._template.load_template_config = load_cached


def cache_render_contexts() -> None:
    """Build the template context once per service. Copier builds it for each file and part of a
    path, which is half of its work.
    """
    render_template: Callable[[Worker], None] = Worker._render_template

    def render_with_one_context(self: Worker) -> None:
        context, answers_file = self._render_context(), self.answers_relpath
        render_text = self._render_string
        texts = cache(lambda text: render_text(text))
        with mock.patch.multiple(
            Worker,
            answers_relpath=answers_file,
            _render_context=lambda _: dict(context),
            _render_string=lambda _, text, extra_context=None: (
                render_text(text, extra_context) if extra_context else texts(text)
            ),
        ):
            render_template(self)

    Worker._render_template = render_with_one_context  # type: ignore[method-assign]


def cache_torchlib() -> None:
    """Let PyTorch's exporter read its library of some 500 functions once, not for each model."""
    with suppress(ImportError):
        torch = importlib.import_module("torch")
        registration = importlib.import_module("torch.onnx._internal.exporter._registration")
        library = registration.ONNXRegistry
        library.from_torchlib = staticmethod(cache(library.from_torchlib))
        # Otherwise it warns about missing libraries.
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        with warnings.catch_warnings(action="ignore"):
            example = torch.zeros(1, 1)
            torch.onnx.export(torch.nn.Linear(1, 1), (example,), dynamo=True, verbose=False)


def cache_url_builders() -> None:
    """Compile Werkzeug's URL builder once per rule rather than for each application."""
    compile_builder = Rule._compile_builder
    compiled: dict[Any, Callable[..., tuple[str, str]]] = {}

    def compile_cached(self: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        key = (tuple(self._trace), repr(self.defaults), append_unknown)
        if key not in compiled:
            compiled[key] = compile_builder(self, append_unknown)
        return compiled[key]

    Rule._compile_builder = compile_cached  # type: ignore[method-assign]
    routes = oracle.routes(Combination.parse("all"))
    for path in {route.split()[1] for route in routes}:
        Map([Rule(re.sub(r"<\w+:", "<", path))])  # the converter makes no difference


def drop_loggers() -> None:
    """Unregister the loggers of submodules, which still propagate to their parents. pytest visits
    all loggers six times per test, and PyTorch alone has hundreds.
    """
    manager, kept = logging.Logger.manager, {}
    for name, logger in manager.loggerDict.items():
        if isinstance(logger, logging.Logger):
            logger.propagate = True
        if name.count(".") < 2 or (isinstance(logger, logging.Logger) and logger.level):
            kept[name] = logger
    manager.loggerDict = kept


def share_bytecode(service: Path, folder: Path) -> None:
    """Compile identical files once for all services rendered into the same folder.

    Python and pytest cache bytecode per path, and reuse it if the source's size and time are equal.
    Here, the time is a checksum of the content, and bytecode is cached per path and time.
    """
    kept, of_path = folder.with_suffix(".pyc"), bootstrap.cache_from_source
    sys.dont_write_bytecode = False

    def place(file_path: Path) -> Path:
        return kept.joinpath(*file_path.parts[1:-1], str(int(file_path.stat().st_mtime)))

    def place_bytecode(path: str, *arguments: Any, **options: Any) -> str:
        named: str = of_path(path, *arguments, **options)
        source = Path(path)
        return str(place(source) / Path(named).name) if source.is_relative_to(service) else named

    bootstrap.cache_from_source = place_bytecode  # type: ignore[assignment]
    rewrite.get_cache_dir = place
    for source in service.rglob("*.py"):
        seconds = crc32(source.read_bytes())
        os.utime(source, (seconds, seconds))
