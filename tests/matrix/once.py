"""What libraries do again at each use, done once in this process and its forks. The results are
the same.

It pays: five small combinations cost 2.8 core-seconds each, and 5.0 without this. Rendering with
Copier takes 0.2 in place of 1.8, with Cookiecutter 0.2 in place of 0.7. Preparing it takes 13 s.
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


def work_once() -> None:
    """Have all of it, from now on. For a process that has imported what its forks will import."""
    cache_compiled_templates()
    read_questions_once()
    gather_contexts_once()
    read_torchlib_once()
    compile_rules_once()
    forget_loggers()


def read_questions_once() -> None:
    """Copier parses copier.yml for each service."""
    load = copier._template.load_template_config
    parse = cache(lambda path, time: load(path))

    def load_once(conf_path: Path, quiet: bool = False) -> dict[str, Any]:
        return deepcopy(parse(conf_path, conf_path.stat().st_mtime_ns))

    copier._template.load_template_config = load_once


def gather_contexts_once() -> None:
    """Copier gathers what a template sees for each file and each part of a path, though the answers
    are fixed by then: half of its work.
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


def read_torchlib_once() -> None:
    """PyTorch's exporter reads the source of some 500 functions for each model."""
    with suppress(ImportError):
        torch = importlib.import_module("torch")
        registration = importlib.import_module("torch.onnx._internal.exporter._registration")
        library = registration.ONNXRegistry
        library.from_torchlib = staticmethod(cache(library.from_torchlib))
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of what is missing
        with warnings.catch_warnings(action="ignore"):
            example = torch.zeros(1, 1)
            torch.onnx.export(torch.nn.Linear(1, 1), (example,), dynamo=True, verbose=False)


def compile_rules_once() -> None:
    """Werkzeug compiles a program for each rule of each application, to build URLs with."""
    compile_anew = Rule._compile_builder
    compiled: dict[Any, Callable[..., tuple[str, str]]] = {}

    def compile_once(self: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        key = (tuple(self._trace), repr(self.defaults), append_unknown)
        if key not in compiled:
            compiled[key] = compile_anew(self, append_unknown)
        return compiled[key]

    Rule._compile_builder = compile_once  # type: ignore[method-assign]
    routes = oracle.routes(Combination.parse("all"))
    for path in {route.split()[1] for route in routes}:
        Map([Rule(re.sub(r"<\w+:", "<", path))])  # the program is the same for any converter


def forget_loggers() -> None:
    """pytest looks at each logger that there is six times a test, and takes hold of those that do
    not propagate. PyTorch alone has hundreds. Those that are forgotten still have their parents.
    """
    manager, kept = logging.Logger.manager, {}
    for name, logger in manager.loggerDict.items():
        if isinstance(logger, logging.Logger):
            logger.propagate = True
        if name.count(".") < 2 or (isinstance(logger, logging.Logger) and logger.level):
            kept[name] = logger
    manager.loggerDict = kept


def keep_bytecode(service: Path, folder: Path) -> None:
    """Compile each content once for all services that are rendered to the same place.

    Python and pytest keep one bytecode for each path, and take it over where size and time of the
    source are the same. Here they keep one for each time, which is made from the content.
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
