"""Fixtures that every test can use."""

from pathlib import Path

import pytest

from tests.combinations import ROOT
from tests.engines import snapshot


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as it lies here, outside git: rendered about twice as fast."""
    return snapshot(ROOT, tmp_path_factory.mktemp("template"))
