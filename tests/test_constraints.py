"""The pinned versions in constraints.txt satisfy the requirements of services."""

from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.combinations import components
from tests.constraints import requirements


@pytest.mark.parametrize("component", ["nothing", *components()])
def test_each_requirement_has_a_pinned_version_in_its_range(tmp_path: Path, component: str) -> None:
    needs = [Requirement(text) for text in requirements(tmp_path, component)]
    (service, *_) = tmp_path.iterdir()
    lines = (service / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    assert all(str(pin.specifier).startswith("==") for pin in pins)
    versions = {pin.name: str(pin.specifier).removeprefix("==") for pin in pins}
    for need in needs:
        assert need.specifier.contains(versions[canonicalize_name(need.name)]), (
            f"{need} has no version in template/constraints.txt; run nox -s lock"
        )
