"""Services use no private names (with a leading underscore) of libraries."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.combinations import ROOT

TEMPLATE = ROOT / "template"
FILES = sorted(path.relative_to(TEMPLATE).as_posix() for path in TEMPLATE.rglob("*.py"))
PRIVATE = re.compile(r"_(?!_)\w+")

#: Exceptions, ``file: name`` → the reason.
ALLOWED: dict[str, str] = {}


def private_names(tree: ast.Module) -> Iterator[str]:
    """The private names that a module uses but does not define."""
    own = set(bound_names(tree))
    for node in ast.walk(tree):
        names: list[str] = []
        match node:
            case ast.Import():
                names = [part for alias in node.names for part in alias.name.split(".")]
            case ast.ImportFrom():
                names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            case ast.Attribute():
                names = [node.attr]
            case ast.Call(func=ast.Name("getattr" | "setattr" | "hasattr")):
                names = [str(n.value) for n in node.args[1:2] if isinstance(n, ast.Constant)]
            case ast.Call(func=ast.Attribute(attr="setattr" | "delattr" | "patch" | "object")):
                texts = [n.value for n in node.args if isinstance(n, ast.Constant)]
                names = [part for text in texts for part in str(text).split(".")]
        yield from (name for name in names if PRIVATE.fullmatch(name) and name not in own)


def bound_names(tree: ast.Module) -> Iterator[str]:
    """The names that a module defines: functions, classes, variables and attributes of self."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.Attribute(ctx=ast.Store(), value=ast.Name("self" | "cls")):
                yield node.attr


@pytest.mark.parametrize("file", FILES)
def test_service_uses_no_private_names_of_libraries(file: str) -> None:
    found = {f"{file}: {name}" for name in private_names(ast.parse((TEMPLATE / file).read_text()))}
    allowed = {entry for entry in ALLOWED if entry.startswith(f"{file}: ")}
    assert found == allowed, "Use documented names, or add a line with a reason to ALLOWED."


@pytest.mark.parametrize(
    "code",
    [
        "from kombu.transport._redis import Channel",
        "from werkzeug import _internal",
        "import _pytest.assertion",
        "app._got_first_request",
        "self._handle()",
        "getattr(server, '_clients')",
        "monkeypatch.setattr('socket._socketobject', None)",
    ],
)
def test_private_names_are_found(code: str) -> None:
    assert list(private_names(ast.parse(code)))


def test_own_names_may_be_private() -> None:
    code = "class Cache:\n def __init__(self): self._items = {}\n def all(self): return self._items"
    assert not list(private_names(ast.parse(code)))
