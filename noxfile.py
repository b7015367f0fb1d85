"""Every task of this repository. With nox: ``nox -s tests``. With nothing but Python, pip and git:
``python3 noxfile.py -s tests``, which fetches nox into ``.nox/tools`` first.
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
    """A Python that has nox. Needs neither ``venv``, which some systems leave out, nor leave to
    install system-wide.
    """
    python = ROOT / ".nox" / "tools" / SCRIPTS / "python"
    if not (python.parent / "nox").exists():
        print("→ fetching nox into .nox/tools (once)", flush=True)
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
        os.execv(command[0], command)  # nobody in between, who would end at Ctrl-C while nox waits
    sys.exit(subprocess.call(command))

import nox  # noqa: E402

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests", "matrix", "manifests"]

#: The Pythons and components that copier.yml offers.
QUESTIONS = (ROOT / "copier.yml").read_text("utf-8")
PYTHONS = re.findall(r'"(3\.\d+)"', re.findall(r"choices: (\[.*3\.11.*\])", QUESTIONS)[0])
COMPONENTS = re.findall(r"\w+", re.findall(r"^everything:[^\[]*\[([^\]]*)\]", QUESTIONS, re.M)[0])
#: Components whose wheels, for one more Python, are gigabytes. ``nox -s matrix`` has them.
HEAVY = ["torch"]

#: Fewer tests than these mean that some were lost, not that all is well.
FEWEST_TESTS = 440


@nox.session
def demo(session: nox.Session) -> None:
    """Render a service into a folder, start it and show an answered request: -- FOLDER."""
    folder = Path(session.posargs[0] if session.posargs else "my-service").expanduser()
    folder = (Path(session.invoked_from) / folder).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        session.error(f"{folder} is there already: name another folder, nox -s demo -- FOLDER")
    session.install(*group("copier"))
    session.log("1/4 render the default service into %s", folder)
    # By its URL, Copier takes the last commit, so that the service can be updated later.
    copy = ["copier", "copy", "--quiet", "--defaults", "--vcs-ref=HEAD"]
    session.run(*copy, f"git+{ROOT.as_uri()}", str(folder))
    session.log("2/4 install it into %s", folder / ".venv")
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
        session.log("3/4 migrate its SQLite database")
        session.run(str(scripts / "flask"), "--app", "wsgi", "db", "upgrade", external=True)
        session.log("4/4 start it, and send a request")
        show_request(session, scripts)
    session.log("It is yours. To go on:")
    session.log("    cd %s", shlex.quote(str(folder)))
    session.log(
        "    .venv/%s/flask --app wsgi run    # then open http://127.0.0.1:5000/docs", SCRIPTS
    )
    session.log("    .venv/%s/pytest                  # its own tests", SCRIPTS)


def show_request(session: nox.Session, scripts: Path) -> None:
    """Start the service in the current folder, create a user, and stop the service."""
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
    """Until the service answers; an error where it ends or takes over 30 seconds."""
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{address}/health")
        except OSError:
            if server.poll() is not None:
                session.error("The service did not start; its own words stand above.")
            time.sleep(0.1)
        else:
            return
    session.error("The service did not answer within 30 seconds.")


@nox.session
def cookiecutter(session: nox.Session) -> None:
    """Write cookiecutter.json, which follows from copier.yml."""
    session.install(*group("copier"), *group("test"))
    session.run("python", "-m", "tests.cookiecutter_json")


@nox.session
def lint(session: nox.Session) -> None:
    """Check this repository's own code; that of the renders is checked by their tests."""
    session.install(*group("copier"), *group("nox"), *group("test"))
    own = ["noxfile.py", "cookiecutter_answers.py", "hooks", "tests", "benchmarks"]
    session.run("ruff", "check", *own)
    session.run("ruff", "format", "--check", *own)
    session.run("mypy", *own)


@nox.session
def tests(session: nox.Session) -> None:
    """The questions, the demo, the README, and the running service as a black box."""
    install_everything(session)
    report = session.cache_dir / "report.xml"
    quick = ["-m", "not cluster and not images and not integration and not manifests"]
    pytest(session, f"--junitxml={report}", *(session.posargs or quick))
    if not session.posargs:
        check_counts(session, report)


@nox.session
def matrix(session: nox.Session) -> None:
    """Render, check and test combinations: -- --help lists options; --python 3.13 is one more."""
    options = list(session.posargs)
    if "--python" in options:
        place = options.index("--python")
        version = "".join(options[place + 1 : place + 2])
        if version not in PYTHONS:
            session.error(f"Choose one of {', '.join(PYTHONS)}, as in --python {PYTHONS[-1]}.")
        del options[place : place + 2]
        session.notify(f"pythons-{version}", options)
        return
    install_everything(session, without=not_needed(options))
    run_matrix(session, "tests.matrix", f"--cache={session.cache_dir / 'mypy'}")


def not_needed(options: Sequence[str]) -> list[str]:
    """The components that no combination of ``--only`` has."""
    named = set(re.findall(r"\w+", " ".join(options)))
    if "only" not in named or "all" in named:
        return []
    return [name for name in COMPONENTS if name not in named]


@nox.session(python=PYTHONS)
def pythons(session: nox.Session) -> None:
    """The matrix on each Python that is offered and found here: any two answers meet."""
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
    """Write template/constraints.txt: -- --upgrade for the newest versions that ranges admit."""
    session.install(*group("copier"), *group("test"), *group("uv"))
    session.run("python", "-m", "tests.constraints", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Compare the rendered service with the sample code and its alternatives: -- --quick."""
    session.install(*group("copier"), *group("nox"))
    cache = session.cache_dir / "bench"
    session.run("python", "-m", "benchmarks", f"--cache={cache}", *session.posargs)


@nox.session
def update(session: nox.Session) -> None:
    """Add and remove each component in services that their owners have changed."""
    install_everything(session)
    run_matrix(session, "tests.matrix.update")


@nox.session
def mutants(session: nox.Session) -> None:
    """Seed faults in copies of this repository: the matrix must find each."""
    install_everything(session)
    run_matrix(session, "tests.matrix.mutants", f"--cache={session.cache_dir / 'mypy'}")


def run_matrix(session: nox.Session, module: str, *args: str) -> None:
    """Run a module with a pytest as it is in a service's own environment: without plugins."""
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = ["python", "-W", "ignore", "-m", module, *args, *session.posargs]
    session.run(*command, env=environment, interrupt_timeout=60)


@nox.session
def integration(session: nox.Session) -> None:
    """Services on real PostgreSQL, Redis and RabbitMQ, in Chromium, and what takes minutes."""
    install_everything(session)
    session.install("--no-deps", *group("faces"))
    pytest(session, "--numprocesses=0", *(session.posargs or ["-m", "integration"]))


@nox.session
def manifests(session: nox.Session) -> None:
    """Validate manifests, images, compose and CI of services offline, by the tools of the field."""
    carrier, checkov, *tools = group("manifests")
    pins = ("cookiecutter", "covertable", "pytest=", "pyyaml")
    session.install(*group("copier"), *tools, *(n for n in group("test") if n.startswith(pins)))
    session.install("--no-deps", carrier)
    own = session.cache_dir / "checkov"  # it requires an older packaging than pytest
    session.run(sys.executable, "-m", "virtualenv", "--quiet", str(own), external=True)
    session.run(str(own / SCRIPTS / "pip"), "install", "--quiet", checkov, external=True)
    options = session.posargs or ["-m", "manifests", "--quiet"]
    environment = {"CHECKOV": str(own / SCRIPTS / "checkov")}
    session.run("pytest", *options, "tests/test_manifests.py", env=environment)


@nox.session
def images(session: nox.Session) -> None:
    """Build, run and end the images of services: with docker, and on the ports 8000 and 8001."""
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        if not shutil.which("docker") or subprocess.run(command, capture_output=True).returncode:
            session.error(f"Start Docker first, with Compose: {' '.join(command)} has to succeed.")
    install_everything(session)
    pytest(session, "--numprocesses=0", *(session.posargs or ["-m", "images", "-rP"]))


@nox.session
def cluster(session: nox.Session) -> None:
    """Deploy services to the cluster that kubectl reaches: roll out, drain, kill, under load."""
    for command in (["docker", "info"], ["kubectl", "version"]):
        if not shutil.which(command[0]) or subprocess.run(command, capture_output=True).returncode:
            session.error(f"Docker and a cluster are needed: {' '.join(command)} has to succeed.")
    install_everything(session)
    pytest(session, "--numprocesses=0", *(session.posargs or ["-m", "cluster", "-rP"]))


def install_everything(session: nox.Session, without: Sequence[str] = ()) -> None:
    """Install the test tools, and what a service with all other components needs."""
    # Most of these modules are never imported: compiling all takes longer than installing them.
    session.install("--no-compile", *group("copier"), *group("test"))
    # Not in the session's temporary folder: tests would render below .nox, where ruff looks away.
    service = session.cache_dir / "service"
    chosen = ", ".join(name for name in COMPONENTS if name not in without)
    copy = ["copier", "copy", "--quiet", "--defaults", "--overwrite", "--vcs-ref=HEAD"]
    session.run_install(*copy, f"--data=components=[{chosen}]", str(ROOT), str(service))
    project = tomllib.loads((service / "pyproject.toml").read_text())["project"]
    optional = [name for names in project["optional-dependencies"].values() for name in names]
    own = project["name"] + "["  # extras that take in others
    needed = [*project["dependencies"], *(name for name in optional if own not in name)]
    constraints = str(service / "constraints.txt")
    session.install("--no-compile", "--constraint", constraints, *needed)


def pytest(session: nox.Session, *args: str) -> None:
    session.run("pytest", "--numprocesses=auto", "--dist=worksteal", *args)


def check_counts(session: nox.Session, report: Path) -> None:
    """Red where tests were skipped or lost."""
    cases = ET.parse(report).getroot().findall(".//testcase")
    skipped = [case.get("name") for case in cases if case.find("skipped") is not None]
    session.log("%d tests", len(cases))
    if len(cases) < FEWEST_TESTS or skipped:
        session.error(f"Some tests did not run. Skipped: {skipped}")
