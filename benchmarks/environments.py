"""Creates a virtual environment for each system, and keeps it until its requirements change."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
PEERS = Path(__file__).parent / "peers"
COMPONENTS = ("probes", "sklearn", "torch")
SECRETS = {"APP_ENV": "prod", "SECRET_KEY": "benchmark" * 8}


class InstallError(Exception):
    """A system cannot be installed; the message is from the installer."""


def bin_of(environment: Path) -> Path:
    return environment / "bin"


def with_path(environment: Path) -> dict[str, str]:
    return {"PATH": f"{bin_of(environment)}:{os.environ['PATH']}"}


def make_peer(peer: str, cache: Path) -> Path:
    """Create the environment of a peer; raises ``InstallError``."""
    requirements = PEERS / peer / "requirements.txt"
    return make(peer, cache, ["-r", str(requirements)], requirements.read_text())


def make(name: str, cache: Path, wanted: list[str], state: str) -> Path:
    """Create an environment with ``wanted`` installed, unless it exists with the same ``state``."""
    environment = cache / name
    stamp = environment / "installed"
    digest = sha256(f"{sys.version}\n{state}".encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return environment
    print(f"→ installing {name}", flush=True)
    shutil.rmtree(environment, ignore_errors=True)
    run([sys.executable, "-m", "virtualenv", "--quiet", str(environment)])
    run([str(bin_of(environment) / "python"), "-m", "pip", "install", "--quiet", *wanted])
    stamp.write_text(digest)
    return environment


def run(
    command: list[str], folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Run a command and return its output; raises ``InstallError`` with its last lines."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        words = [line for line in done.stdout.splitlines() if "WARNING" not in line and line]
        raise InstallError("; ".join(words[-3:]) or f"{command[0]} failed")
    return done.stdout


def versions_of(environment: Path) -> dict[str, str]:
    """Name → version of all packages installed in an environment."""
    folder = next(environment.glob("lib/python*/site-packages"))
    found = metadata.distributions(path=[str(folder)])
    return {
        package.name: package.version
        for package in sorted(found, key=lambda package: package.name.lower())
    }


def existing_components() -> list[str]:
    """Those of ``COMPONENTS`` that exist in the template."""
    return [name for name in COMPONENTS if (ROOT / "template" / "app" / name).is_dir()]


def make_service(cache: Path, components: list[str]) -> tuple[Path, Path]:
    """Render the service and train its models again if the template has changed.

    Returns:
        the folders of the service and of its environment.
    """
    rendered, service = cache / "rendered", cache / "service"
    shutil.rmtree(rendered, ignore_errors=True)
    data = f"components=[{', '.join(components)}]"
    copier = [sys.executable, "-m", "copier", "copy", "--quiet", "--defaults", "--vcs-ref=HEAD"]
    run([*copier, "--data", data, str(ROOT), str(rendered)])
    wanted = requirements_of((rendered / "pyproject.toml").read_text())
    environment = make("ours", cache, wanted, "\n".join(wanted))
    stamp = cache / "service-trained"
    digest = digest_of(rendered) + (environment / "installed").read_text()
    if not (stamp.exists() and stamp.read_text() == digest and service.exists()):
        shutil.rmtree(service, ignore_errors=True)
        rendered.rename(service)
        train(service, environment, components)
        stamp.write_text(digest)
    return service, environment


def digest_of(folder: Path) -> str:
    """A digest of all files except the answers, which include the commit."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    kept = [path for path in files if path.name != ".copier-answers.yml"]
    listed = [(str(path.relative_to(folder)), path.read_bytes()) for path in kept]
    return sha256(repr(listed).encode()).hexdigest()


def train(service: Path, environment: Path, components: list[str]) -> None:
    for component in components:
        if component in ("sklearn", "torch"):
            print(f"→ flask --app wsgi train-{component}", flush=True)
            command = [str(bin_of(environment) / "flask"), "--app", "wsgi", f"train-{component}"]
            run(command, service, SECRETS | with_path(environment))


def requirements_of(project: str) -> list[str]:
    """The requirements for serving and training."""
    document = tomllib.loads(project)["project"]
    extras = document.get("optional-dependencies", {})
    return [*document["dependencies"], *extras.get("train", []), "joblib"]


def web_command(service: Path) -> str:
    """The command of the service's web process."""
    found = re.search(r"^web: (.+)$", (service / "Procfile").read_text(), re.MULTILINE)
    if not found:
        raise InstallError("the Procfile has no web process")
    return found[1]
