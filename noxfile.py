"""The tasks of this repository, such as ``nox -s tests``.

Without nox, run ``python3 noxfile.py -s tests``. It needs only Python, pip and git, and installs
nox into ``.nox/tools``.
"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
SCRIPTS = "Scripts" if os.name == "nt" else "bin"


def bootstrap() -> Path:
    """Return a Python with nox installed.

    Works without ``venv``, which some systems lack, and without installing anything system-wide.
    """
    python = ROOT / ".nox" / "tools" / SCRIPTS / "python"
    if not (python.parent / "nox").exists():
        print("→ installing nox into .nox/tools (first run only)", flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        target = ROOT / ".nox" / "bootstrap"
        subprocess.run([*pip, "--upgrade", "--target", str(target), "virtualenv"], check=True)
        subprocess.run(
            [sys.executable, "-m", "virtualenv", "--quiet", str(python.parent.parent)],
            check=True,
            env=os.environ | {"PYTHONPATH": str(target)},
        )
        subprocess.run([python, *pip[1:], group("nox")[0]], check=True)
    return python


def group(name: str) -> list[str]:
    """The pinned requirements of a dependency group in pyproject.toml."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    return [str(requirement) for requirement in groups[name]]


if __name__ == "__main__":
    command = [str(bootstrap()), "-m", "nox", "-f", __file__, *sys.argv[1:]]
    if os.name == "posix":
        os.execv(command[0], command)  # so that Ctrl-C reaches nox alone
    sys.exit(subprocess.call(command))

import nox  # noqa: E402

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests", "matrix", "manifests"]

#: The Python versions and components offered by copier.yml.
QUESTIONS = (ROOT / "copier.yml").read_text("utf-8")
PYTHONS = re.findall(r'"(3\.\d+)"', re.findall(r"choices: (\[.*3\.11.*\])", QUESTIONS)[0])
COMPONENTS = re.findall(r"\w+", re.findall(r"^everything:[^\[]*\[([^\]]*)\]", QUESTIONS, re.M)[0])
#: Components with gigabytes of wheels: tested by ``nox -s matrix`` only, not on every Python.
HEAVY = ["torch"]

#: Fewer tests than this means that some were not collected.
MINIMUM_TESTS = 440


@nox.session
def demo(session: nox.Session) -> None:
    """Render a service into a folder, start it and send it a request: -- FOLDER."""
    folder = Path(session.posargs[0] if session.posargs else "my-service").expanduser()
    folder = (Path(session.invoked_from) / folder).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        session.error(f"{folder} already exists; name another folder: nox -s demo -- FOLDER")
    session.install(*group("copier"))
    session.log("1/4 rendering the default service into %s", folder)
    # From a URL, Copier renders the last commit, so that the service can be updated later.
    copy = ["copier", "copy", "--quiet", "--defaults", "--vcs-ref=HEAD"]
    session.run(*copy, f"git+{ROOT.as_uri()}", str(folder))
    session.log("2/4 installing it into %s", folder / ".venv")
    session.run(sys.executable, "-m", "virtualenv", "--quiet", str(folder / ".venv"), external=True)
    with session.chdir(folder):
        scripts = folder / ".venv" / SCRIPTS
        session.run(
            str(scripts / "pip"),
            "install",
            "--quiet",
            "-c",
            "constraints.txt",
            "-e",
            ".[dev]",
            external=True,
        )
        session.log("3/4 migrating its SQLite database")
        session.run(str(scripts / "flask"), "--app", "wsgi", "db", "upgrade", external=True)
        session.log("4/4 starting it and sending a request")
        show_request(session, scripts)
    session.log("The service is ready. Next steps:")
    session.log("    cd %s", shlex.quote(str(folder)))
    session.log(
        "    .venv/%s/flask --app wsgi run    # then open http://127.0.0.1:5000/docs", SCRIPTS
    )
    session.log("    .venv/%s/pytest                  # run its tests", SCRIPTS)


def show_request(session: nox.Session, scripts: Path) -> None:
    """Start the service in the current folder, create a user, then stop it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    host, _, port = address.removeprefix("http://").partition(":")
    session.log("$ HOST=%s PORT=%s python serve.py", host, port)
    variables = {"HOST": host, "PORT": port, "LOG_LEVEL": "WARNING"}
    server = subprocess.Popen([scripts / "python", "serve.py"], env=os.environ | variables)
    try:
        wait_for(session, server, address)
        body = {"email": "ann@example.com", "name": "Ann"}
        session.log("POST %s/api/v1/users %s", address, json.dumps(body))
        request = urllib.request.Request(
            f"{address}/api/v1/users",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            session.log("%s %s %s", response.status, response.reason, response.headers["Location"])
            session.log("%s", response.read().decode())
    finally:
        server.terminate()
        server.wait()


def wait_for(session: nox.Session, server: "subprocess.Popen[bytes]", address: str) -> None:
    """Wait until the service answers; fail if it exits or takes more than 30 seconds."""
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{address}/health")
        except OSError:
            if server.poll() is not None:
                session.error("The service did not start; see its output above.")
            time.sleep(0.1)
        else:
            return
    session.error("The service did not answer within 30 seconds.")


@nox.session
def cookiecutter(session: nox.Session) -> None:
    """Generate cookiecutter.json from copier.yml."""
    session.install(*group("copier"), *group("test"))
    session.run("python", "-m", "tests.cookiecutter_json")


@nox.session
def lint(session: nox.Session) -> None:
    """Check this repository's own code; the matrix checks rendered code."""
    session.install(*group("copier"), *group("nox"), *group("test"))
    own = ["noxfile.py", "cookiecutter_answers.py", "hooks", "tests", "benchmarks"]
    session.run("ruff", "check", *own)
    session.run("ruff", "format", "--check", *own)
    session.run("mypy", *own)


@nox.session
def tests(session: nox.Session) -> None:
    """Test the template: questions, both engines, commands in the README, and running services."""
    install_everything(session)
    report = session.cache_dir / "report.xml"
    quick = ["-m", "not cluster and not images and not integration and not manifests"]
    pytest(session, f"--junitxml={report}", *(session.posargs or quick))
    if not session.posargs:
        check_counts(session, report)


@nox.session
def matrix(session: nox.Session) -> None:
    """Render, check and test combinations: -- --help lists the options, or add --python 3.13."""
    options = list(session.posargs)
    if "--python" in options:
        index = options.index("--python")
        version = "".join(options[index + 1 : index + 2])
        if version not in PYTHONS:
            session.error(f"--python must be one of {', '.join(PYTHONS)}.")
        del options[index : index + 2]
        session.notify(f"pythons-{version}", options)
        return
    install_everything(session, without=unused_components(options))
    run_matrix(session, "tests.matrix", f"--cache={session.cache_dir / 'mypy'}")


def unused_components(options: Sequence[str]) -> list[str]:
    """The components that no ``--only`` combination includes."""
    named = set(re.findall(r"\w+", " ".join(options)))
    if "only" not in named or "all" in named:
        return []
    return [name for name in COMPONENTS if name not in named]


@nox.session(python=PYTHONS)
def pythons(session: nox.Session) -> None:
    """Run the matrix on each supported Python that is installed, covering all pairs of answers."""
    install_everything(session, without=HEAVY)
    places = [
        f"--{name}={session.cache_dir / name}-{session.python}" for name in ("report", "cache")
    ]
    options = [*places, *(f"--without={name}" for name in HEAVY), "--strength=2"]
    if {"--all", "--sample", "--only"} & {option.partition("=")[0] for option in session.posargs}:
        options.remove("--strength=2")
    run_matrix(session, "tests.matrix", *options)


@nox.session
def lock(session: nox.Session) -> None:
    """Write template/constraints.txt: -- --upgrade for the newest versions within the ranges."""
    session.install(*group("copier"), *group("test"), *group("uv"))
    session.run("python", "-m", "tests.constraints", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Benchmark the rendered service against sample code and alternatives: -- --quick."""
    session.install(*group("copier"), *group("nox"))
    cache = session.cache_dir / "bench"
    session.run("python", "-m", "benchmarks", f"--cache={cache}", *session.posargs)


@nox.session
def update(session: nox.Session) -> None:
    """Add and remove each component in customized services with ``copier update``."""
    install_everything(session)
    run_matrix(session, "tests.matrix.update")


@nox.session
def mutants(session: nox.Session) -> None:
    """Check that the matrix finds each of many seeded faults."""
    install_everything(session)
    run_matrix(session, "tests.matrix.mutants", f"--cache={session.cache_dir / 'mypy'}")


def run_matrix(session: nox.Session, module: str, *args: str) -> None:
    """Run a module with pytest's plugins disabled, since services have only their own."""
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = ["python", "-W", "ignore", "-m", module, *args, *session.posargs]
    session.run(*command, env=environment, interrupt_timeout=60)


@nox.session
def integration(session: nox.Session) -> None:
    """Test services on real PostgreSQL, Redis, RabbitMQ and in Chromium; takes minutes."""
    install_everything(session)
    session.install("--no-deps", *group("faces"))
    pytest(session, "--numprocesses=0", *(session.posargs or ["-m", "integration"]))


@nox.session
def manifests(session: nox.Session) -> None:
    """Validate the manifests, Dockerfile, compose file and CI of services offline."""
    kubectl, checkov, *tools = group("manifests")
    pins = ("cookiecutter", "covertable", "pytest=", "pyyaml")
    session.install(*group("copier"), *tools, *(n for n in group("test") if n.startswith(pins)))
    session.install("--no-deps", kubectl)
    own = session.cache_dir / "checkov"  # needs an older version of packaging than pytest does
    session.run(sys.executable, "-m", "virtualenv", "--quiet", str(own), external=True)
    session.run(str(own / SCRIPTS / "pip"), "install", "--quiet", checkov, external=True)
    options = session.posargs or ["-m", "manifests", "--quiet"]
    environment = {"CHECKOV": str(own / SCRIPTS / "checkov")}
    session.run("pytest", *options, "tests/test_manifests.py", env=environment)


@nox.session
def images(session: nox.Session) -> None:
    """Build, run and stop images of services. Needs Docker and the ports 8000 and 8001."""
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        if not shutil.which("docker") or subprocess.run(command, capture_output=True).returncode:
            session.error(f"Docker with Compose is required: {' '.join(command)} must succeed.")
    install_everything(session)
    pytest(session, "--numprocesses=0", *(session.posargs or ["-m", "images", "-rP"]))


@nox.session
def cluster(session: nox.Session) -> None:
    """Deploy services to kubectl's current cluster; roll out, drain and kill them under load."""
    for command in (["docker", "info"], ["kubectl", "version"]):
        if not shutil.which(command[0]) or subprocess.run(command, capture_output=True).returncode:
            session.error(f"Docker and a cluster are required: {' '.join(command)} must succeed.")
    install_everything(session)
    pytest(session, "--numprocesses=0", *(session.posargs or ["-m", "cluster", "-rP"]))


def install_everything(session: nox.Session, without: Sequence[str] = ()) -> None:
    """Install the test tools, and the requirements of a service with all other components."""
    # Most of these modules are never imported; compiling them takes longer than installing them.
    session.install("--no-compile", *group("copier"), *group("test"))
    # Not in the session's temporary folder, which is below .nox, where ruff ignores files.
    service = session.cache_dir / "service"
    chosen = ", ".join(name for name in COMPONENTS if name not in without)
    copy = ["copier", "copy", "--quiet", "--defaults", "--overwrite", "--vcs-ref=HEAD"]
    session.run_install(*copy, f"--data=components=[{chosen}]", str(ROOT), str(service))
    project = tomllib.loads((service / "pyproject.toml").read_text())["project"]
    optional = [name for names in project["optional-dependencies"].values() for name in names]
    own = project["name"] + "["  # extras that include others
    needed = [*project["dependencies"], *(name for name in optional if own not in name)]
    constraints = str(service / "constraints.txt")
    session.install("--no-compile", "--constraint", constraints, *needed)


def pytest(session: nox.Session, *args: str) -> None:
    session.run("pytest", "--numprocesses=auto", "--dist=worksteal", *args)


def check_counts(session: nox.Session, report: Path) -> None:
    """Fail if tests were skipped or not collected."""
    cases = ET.parse(report).getroot().findall(".//testcase")
    skipped = [case.get("name") for case in cases if case.find("skipped") is not None]
    session.log("%d tests", len(cases))
    if len(cases) < MINIMUM_TESTS or skipped:
        session.error(f"Some tests did not run. Skipped: {skipped}")
