"""Shared fixtures."""

from pathlib import Path

import pytest

from tests.combinations import ROOT
from tests.engines import snapshot


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the working tree's template; outside git it renders about twice as fast."""
    return snapshot(ROOT, tmp_path_factory.mktemp("template"))
