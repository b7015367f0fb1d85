"""Fixtures that every test can use."""

from pathlib import Path

import pytest

from tests.combinations import snapshot


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as it lies here."""
    return snapshot(tmp_path_factory.mktemp("template"))
