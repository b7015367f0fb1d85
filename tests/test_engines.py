"""The optimizations of tests.engines do not change what is rendered."""

import subprocess
import sys
from pathlib import Path

from tests.combinations import ROOT

#: Runs in its own process, because the caches cannot be disabled.
FAST = """
import sys
from pathlib import Path
import jinja2
from tests.combinations import render
from tests.engines import bake, cache_compiled_templates, prepare, tree, without_git

template, folder = Path(sys.argv[1]), Path(sys.argv[2])
answers = {"components": ["crud", "jwt"]}
prepared = prepare(template, folder / "prepared")
plain = tree(render(template, folder / "plain", **answers))
assert plain

compiled = []
compile_template = jinja2.Environment._compile
jinja2.Environment._compile = lambda *a: compiled.append(a) or compile_template(*a)
cache_compiled_templates()
cache_compiled_templates()
for name in ("first", "second"):
    compiled.clear()
    with without_git():
        assert tree(render(template, folder / name, **answers)) == plain
    assert tree(bake(prepared, folder / f"{name} bake", answers)) == plain
    # Cookiecutter also compiles the path of each folder, and those differ.
    folders = sum(path.is_dir() for path in (folder / f"{name} bake").rglob("*"))
    assert (len(compiled) <= folders) is (name == "second"), len(compiled)
"""


def test_caching_does_not_change_the_result(template: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FAST, str(template), str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
