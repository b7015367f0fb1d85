"""Cookiecutter renders the same as Copier: files, contents, permissions and folders."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import cookiecutter
import copier
import pytest
import yaml
from copier import VcsRef
from pytest_cookies.plugin import Cookies

from tests import cookiecutter_json, engines
from tests.combinations import ROOT, components, render
from tests.engines import Prepared, bake, tree
from tests.test_questions import asked, choices

DIFFICULT_NAMES = [
    "The \"Best\" 'One' \\ of {{ 7 * 7 }}",
    "# {% if %} {# {{",
    "3D Ünïcode 日本語 😀",
    "%} <b>&amp;</b> $(id) `id` ${HOME}",
]


@pytest.fixture(scope="module")
def prepared(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return engines.prepare(template, tmp_path_factory.mktemp("prepared") / "template")


@pytest.fixture(scope="module")
def repository(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a git repository with a version, and a draft on top of it."""
    folder = shutil.copytree(template, tmp_path_factory.mktemp("git") / "flask-template")
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder)
    git(folder, "tag", "v1.0.0")
    (folder / "template" / "DRAFT.md").write_text("Not part of 1.0.0.\n")
    commit(folder)
    return folder


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True)


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=work")


def run(
    folder: Path, *arguments: str, python: str = sys.executable, **options: Any
) -> "subprocess.CompletedProcess[str]":
    """Run the cookiecutter command with its own home folder."""
    options = {"env": environment(folder)} | options
    command = [python, "-m", "cookiecutter", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, **options)


def environment(folder: Path) -> dict[str, str]:
    """An environment in which home and temporary folders are next to ``folder``."""
    home, temporary = folder.parent / "home", folder.parent / "temporary"
    for place in (home, temporary, folder):
        place.mkdir(parents=True, exist_ok=True)
    return os.environ | {"HOME": str(home), "TMPDIR": str(temporary)}


def temporary_copies(folder: Path) -> list[str]:
    """The copies of the template that Cookiecutter has not removed."""
    temporary = folder.parent / "temporary"
    return [path.name for path in temporary.iterdir() if path.name.startswith("cookiecutter")]


def project(folder: Path, *arguments: str, **options: Any) -> Path:
    """Run the command successfully in an empty folder; returns the project."""
    result = run(folder, *arguments, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "env" in options or temporary_copies(folder) == []
    (path,) = folder.iterdir()
    return path


def offered(name: str) -> str:
    """The available choices of a question, as error messages list them."""
    values, words = choices(name), {"components": components()}
    if name == "preset":
        words[name] = [value for value in values if accepted(value)]
    return ", ".join(value for value in values if value in words.get(name, values))


def accepted(preset: str) -> bool:
    needed = {"ml": {"torch", "celery"}, "ai": {"openai"}}.get(preset, set())
    return needed <= set(components())


def as_arguments(**answers: Any) -> list[str]:
    return [f"{name}={engines.as_text(value)}" for name, value in answers.items()]


def recorded(service: Path) -> dict[str, Any]:
    answers: dict[str, Any] = yaml.safe_load((service / ".copier-answers.yml").read_text())
    return answers


def test_cookiecutter_json_matches_copier_yml() -> None:
    assert cookiecutter_json.PATH.read_text() == cookiecutter_json.text(), "run nox -s cookiecutter"


def test_prompts_list_the_available_choices() -> None:
    prompts = cookiecutter_json.document()["__prompts__"]
    assert set(prompts) == set(asked())
    for name in ("preset", "components", "accelerator", "python_version"):
        shown = re.findall(r"^    ([\w.]+)", prompts[name], re.M)
        assert ", ".join(shown) == offered(name)
    assert not any("[" in prompt for prompt in prompts.values()), "Rich would treat it as markup"


def test_questions_are_asked_with_defaults(template: Path, tmp_path: Path) -> None:
    answers = {"project_name": "Pets", "preset": "minimal", "python_version": "3.13"}
    typed = answers | {"components": "probes crud"}
    lines = "".join(f"{typed.get(name, '')}\n" for name in asked())
    service = project(tmp_path / "projects", str(template), input=lines)
    expected = render(template, tmp_path / "service", components=["crud", "probes"], **answers)
    assert tree(service) == tree(expected)
    result = run(tmp_path / "projects", str(template), input="Cats\n\nfoo\n")
    assert result.stderr == f"Error: preset: 'foo' is not one of {offered('preset')}.\n"
    assert "Which components?" not in result.stdout


def test_defaults(cookies: Cookies, template: Path, tmp_path: Path) -> None:
    result = cookies.bake(template=str(template))
    assert (result.exit_code, result.exception) == (0, None)
    assert result.project_path.name == "my-service"
    assert tree(result.project_path) == tree(render(template, tmp_path / "service"))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("project_name", "Pet Shop", "Pet Shop"),
        ("description", "Sells pets.", "Sells pets."),
        ("preset", "minimal", "minimal"),
        ("components", "jwt, crud", ["crud", "jwt"]),
        ("python_version", "3.12", "3.12"),
    ],
)
def test_each_answer_as_an_argument(
    cookies: Cookies, template: Path, tmp_path: Path, name: str, value: str, expected: Any
) -> None:
    result = cookies.bake(template=str(template), extra_context={name: value})
    assert (result.exit_code, result.exception) == (0, None)
    assert recorded(result.project_path)[name] == expected
    assert tree(result.project_path) == tree(
        render(template, tmp_path / "service", **{name: expected})
    )


@pytest.mark.parametrize("spelling", ["jwt crud", '["jwt","crud"]', "[jwt, crud]", "crud,jwt,crud"])
def test_spellings_of_components(prepared: Prepared, tmp_path: Path, spelling: str) -> None:
    service = bake(prepared, tmp_path, {"components": spelling})
    assert recorded(service)["components"] == ["crud", "jwt"]


@pytest.mark.parametrize("spelling", ["", " ", "[]", "none", "nothing"])
def test_spellings_of_no_components(prepared: Prepared, tmp_path: Path, spelling: str) -> None:
    assert recorded(bake(prepared, tmp_path, {"components": spelling}))["components"] == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("project_name=", "project_name: Give the service a name."),
        ("project_name=   ", "project_name: Give the service a name."),
        (
            f"project_name={'x' * 61}",
            "project_name: Shorten the name to at most 60 characters.",
        ),
        (
            "project_name=two\nlines",
            "project_name: Write the name on one line, in printable characters.",
        ),
        (
            "project_name=\x1b[31m",
            "project_name: Write the name on one line, in printable characters.",
        ),
        (
            f"description={'x' * 201}",
            "description: Shorten the description to at most 200 characters.",
        ),
        ("preset=foo", f"preset: 'foo' is not one of {offered('preset')}."),
        (
            "components=crud, blockchain",
            f"components: 'blockchain' is not one of {offered('components')}.",
        ),
        ("accelerator=tpu", "accelerator: 'tpu' is not one of cpu, cuda."),
        ("python_version=2.7", "python_version: '2.7' is not one of 3.11, 3.12, 3.13, 3.14."),
    ],
)
def test_invalid_answers_are_rejected_with_a_message(
    template: Path, tmp_path: Path, answer: str, message: str
) -> None:
    result = run(tmp_path / "projects", "--no-input", str(template), answer)
    assert (result.returncode, result.stderr) == (1, f"Error: {message}\n")
    assert "Traceback" not in result.stdout
    assert list((tmp_path / "projects").iterdir()) == []
    assert list((tmp_path / "temporary").iterdir()) == []


def test_ctrl_c_leaves_nothing_behind(template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "projects"
    with subprocess.Popen(
        [sys.executable, "-m", "cookiecutter", str(template)],
        cwd=folder.parent,
        env=environment(folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # Shells make background processes ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        while b"What is the service called?" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output = process.stdout.read().decode()
    assert process.returncode == 1
    assert "Traceback" not in output
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("cookiecutter1234/flask-template", True),
        ("cookiecutter1234/below/flask-template", False),
        ("clones/flask-template", False),
    ],
)
def test_only_temporary_copies_are_removed(
    prepared: Prepared, template: Path, tmp_path: Path, place: str, expected: bool
) -> None:
    code = "from cookiecutter_answers import *; print(is_temporary_copy(Path(sys.argv[1])))"
    copy = shutil.copytree(prepared.folder, tmp_path / place)
    (tmp_path / "cookiecutter5678").mkdir()
    clone = shutil.copytree(template, tmp_path / "cookiecutter5678" / "flask-template")
    for folder, answer in ((copy, expected), (clone, False)):
        command = [sys.executable, "-c", code, str(folder)]
        environment = os.environ | {"TMPDIR": str(tmp_path)}
        result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert result.stdout == f"{answer}\n", result.stderr


def test_failing_hook_leaves_nothing_behind(template: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(template, tmp_path / "broken")
    with (broken / "cookiecutter.json").open("a") as file:
        file.write("not JSON")
    result = run(tmp_path / "projects", "--no-input", str(broken))
    assert result.returncode == 1
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.fixture
def altered(template: Path, tmp_path: Path) -> Path:
    """A template in which uploads and a preset are unavailable."""
    folder = shutil.copytree(template, tmp_path / "altered")
    config = yaml.safe_load((folder / "copier.yml").read_text())
    listed = dict(zip(config["components"]["choices"], choices("components"), strict=True))
    message = "{{ 'Leave it out, or choose ' ~ everything[0] ~ '.' }}"
    config["components"]["choices"] = listed | {
        label: {"value": "uploads", "validator": message}
        for label, value in listed.items()
        if value == "uploads"
    }
    config["preset"]["choices"] = {"ml": {"value": "ml", "validator": message}, "crud": "crud"}
    (folder / "copier.yml").write_text(yaml.safe_dump(config, sort_keys=False))
    return folder


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("preset=ml", "preset: 'ml': Leave it out, or choose crud."),
        ("components=crud,uploads", "components: 'uploads': Leave it out, or choose crud."),
        ("accelerator=tpu", "accelerator: 'tpu' is not one of cpu, cuda."),
    ],
)
def test_unavailable_choices_are_rejected_with_the_message_of_copier_yml(
    altered: Path, tmp_path: Path, answer: str, message: str
) -> None:
    arguments = ["--no-input", str(altered), "components=torch", answer]
    result = run(tmp_path / "projects", *arguments)
    assert (result.returncode, result.stderr) == (1, f"Error: {message}\n")
    assert list((tmp_path / "projects").iterdir()) == []


@pytest.mark.parametrize("chosen", [["torch", "crud"], ["crud"]])
def test_accelerator_is_recorded_only_if_asked(
    altered: Path, tmp_path: Path, chosen: list[str]
) -> None:
    answers = {"components": chosen, "accelerator": "cuda"}
    service = project(tmp_path / "projects", "--no-input", str(altered), *as_arguments(**answers))
    assert recorded(service).get("accelerator") == ("cuda" if "torch" in chosen else None)
    assert recorded(service) == recorded(render(altered, tmp_path / "service", **answers))


@pytest.mark.parametrize("version", choices("python_version"))
@pytest.mark.parametrize("name", DIFFICULT_NAMES)
def test_names_and_versions_render_identically(
    prepared: Prepared, tmp_path: Path, name: str, version: str
) -> None:
    answers = {"project_name": name, "description": f"{name}: {name}", "python_version": version}
    expected = render(prepared.template, tmp_path / "copier", **answers)
    assert tree(bake(prepared, tmp_path, answers)) == tree(expected)


@pytest.mark.parametrize("chosen", [[], ["jwt"], ["uploads", "probes"], components()], ids=str)
def test_components_render_identically(
    prepared: Prepared, tmp_path: Path, chosen: list[str]
) -> None:
    expected = render(prepared.template, tmp_path / "copier", components=chosen)
    assert tree(bake(prepared, tmp_path, {"components": chosen})) == tree(expected)


def test_unusual_files_render_identically(template: Path, tmp_path: Path) -> None:
    """Excluded files, binary files, permissions and empty folders."""
    odd = engines.snapshot(template, tmp_path / "odd")
    for name in ("app/.DS_Store", "app/crud/a.pyc", "__pycache__/b.py", "jwt/c.txt", "app/d.e/f"):
        path = odd / "template" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("{{ project_slug }}\n")
    (odd / "template" / "empty" / "below").mkdir(parents=True)
    (odd / "template" / "app" / "crud" / "nothing").mkdir()
    (odd / "template" / "picture.png").write_bytes(bytes(range(256)))
    (odd / "template" / "wsgi.py").chmod(0o755)
    (odd / "template" / "Procfile").chmod(0o600)
    expected = tree(render(odd, tmp_path / "copier", components=["crud"]))
    assert {"empty/below/", "app/crud/nothing/", "jwt/c.txt", "picture.png"} <= set(expected)
    assert not [name for name in expected if name.endswith((".pyc", "b.py", ".DS_Store"))]
    prepared = engines.prepare(odd, tmp_path / "prepared")
    assert tree(bake(prepared, tmp_path, {"components": ["crud"]})) == expected


def test_bake_raises_for_invalid_answers(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="Give the service a name"):
        bake(prepared, tmp_path / "projects", {"project_name": " "})
    assert not (tmp_path / "projects").exists()


def test_local_path_is_recorded_as_absolute(repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "projects"
    relative = os.path.relpath(repository, folder)
    services = [
        project(folder / name, "--no-input", path)
        for name, path in (("a", str(repository)), ("b", os.path.join("..", relative)))
    ]
    expected = render(repository, tmp_path / "service")
    assert recorded(expected)["_commit"].startswith("v1.0.0-1-g")
    assert [tree(service) for service in services] == [tree(expected)] * 2


@pytest.mark.parametrize("reference", ["v1.0.0", "HEAD"])
def test_git_url_and_checkout_are_recorded(
    repository: Path, tmp_path: Path, reference: str
) -> None:
    url = f"git+file://{repository}"
    service = project(tmp_path / "projects", "--no-input", f"--checkout={reference}", url)
    copier.run_copy(url, tmp_path / "s", defaults=True, quiet=True, vcs_ref=reference)
    assert tree(service) == tree(tmp_path / "s")
    assert (service / "DRAFT.md").exists() is (reference == "HEAD")


def test_file_url_is_recorded_with_git_prefix(repository: Path, tmp_path: Path) -> None:
    url = f"file://{repository}"
    service = project(tmp_path / "projects", "--no-input", url)
    assert recorded(service)["_src_path"] == f"git+{url}"
    again = run(tmp_path / "projects", "--no-input", repository.name, "project_name=Again")
    assert again.returncode == 0, "Cookiecutter finds cached templates by their name"
    fetched = recorded(tmp_path / "projects" / "again")
    assert fetched["_src_path"] == f"git+{url}"


def test_zip_file_can_be_rendered(template: Path, tmp_path: Path) -> None:
    archive = tmp_path / "flask-template.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in [template, *sorted(template.rglob("*"))]:
            file.write(path, Path("flask-template-main", path.relative_to(template)))
    service = project(tmp_path / "projects", "--no-input", str(archive))
    assert recorded(service)["_src_path"] == str(archive)
    assert "_commit" not in recorded(service)
    ours, expected = tree(service), tree(render(template, tmp_path / "service"))
    for files in (ours, expected):
        del files[".copier-answers.yml"]
    assert {name: content for name, (_, content) in ours.items()} == {
        name: content for name, (_, content) in expected.items()
    }


def test_service_from_a_zip_file_can_be_updated_as_documented(
    repository: Path, tmp_path: Path
) -> None:
    archive, url = tmp_path / "flask-template.zip", f"git+file://{repository}"
    git(repository, "archive", "--prefix=flask-template-1.0.0/", f"--output={archive}", "v1.0.0")
    service = project(tmp_path / "projects", "--no-input", str(archive), "components=jwt")
    path = service / ".copier-answers.yml"
    keys = re.findall(r"`(_\w+:)`", (ROOT / "README.md").read_text())
    origin = dict(zip(keys, (url, "v1.0.0"), strict=True))
    lines = [line for line in path.read_text().splitlines() if not line.startswith("_src_path: ")]
    path.write_text("\n".join([*lines, *(f"{key} {value}" for key, value in origin.items()), ""]))
    git(service, "init", "--quiet")
    commit(service)
    options: Any = {"defaults": True, "quiet": True, "overwrite": True, "vcs_ref": "HEAD"}
    copier.run_update(service, **options)
    shutil.rmtree(service / ".git")
    assert (service / "DRAFT.md").exists()
    copier.run_copy(url, tmp_path / "s", data={"components": ["jwt"]}, **options)
    assert tree(service) == tree(tmp_path / "s")


def test_user_defaults_are_used(template: Path, tmp_path: Path) -> None:
    config = tmp_path / "cookiecutterrc"
    defaults = {"project_name": "Pets", "python_version": 3.12, "components": "jwt, crud"}
    config.write_text(yaml.safe_dump({"default_context": defaults}))
    arguments = [f"--config-file={config}", "--no-input", str(template)]
    answers = recorded(project(tmp_path / "projects", *arguments))
    assert (answers["project_name"], answers["python_version"]) == ("Pets", "3.12")
    assert answers["components"] == ["crud", "jwt"]
    config.write_text(yaml.safe_dump({"default_context": {"components": ["jwt", "crud"]}}))
    result = run(tmp_path / "lists", *arguments)
    assert result.returncode == 1
    assert result.stderr == 'components: must be a string, "jwt, crud", not a list.\n'
    assert list((tmp_path / "lists").iterdir()) == []
    assert temporary_copies(tmp_path / "lists") == []
    config.write_text(yaml.safe_dump({"default_context": {"description": {"a": "b"}}}))
    result = run(tmp_path / "mappings", *arguments)
    assert (result.returncode, result.stderr) == (1, "Error: description: must be a string.\n")


def test_replay_renders_the_same_service(template: Path, tmp_path: Path) -> None:
    answers = as_arguments(project_name=DIFFICULT_NAMES[0], components="jwt")
    first = project(tmp_path / "first", "--no-input", str(template), *answers)
    second = project(tmp_path / "second", "--replay", str(template))
    assert tree(second) == tree(first)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"components": "crud"}, "components: the replay file contradicts itself"),
        ({"preset": "foo"}, f"preset: 'foo' is not one of {offered('preset')}."),
    ],
)
def test_edited_replay_is_rejected(
    template: Path, tmp_path: Path, edit: dict[str, str], message: str
) -> None:
    project(tmp_path / "first", "--no-input", str(template), "components=jwt")
    (replay,) = (tmp_path / "home" / ".cookiecutter_replay").iterdir()
    content = json.loads(replay.read_text())
    content["cookiecutter"] |= edit
    replay.write_text(json.dumps(content))
    result = run(tmp_path / "second", f"--replay-file={replay}", str(template))
    assert result.returncode == 1
    assert result.stderr.startswith(message)
    assert list((tmp_path / "second").iterdir()) == []
    assert temporary_copies(tmp_path / "second") == []


def test_overwriting_keeps_the_owners_files(template: Path, tmp_path: Path) -> None:
    """Files of components that are no longer chosen are kept too, as with Copier."""
    folder = tmp_path / "projects"
    service = project(folder, "--no-input", str(template), "components=jwt")
    own = service / "app" / "pets" / "routes.py"
    own.parent.mkdir()
    own.write_text("mine\n")
    command = ["--no-input", "--overwrite-if-exists", str(template), "components=crud"]
    assert run(folder, *command).returncode == 0
    assert own.read_text() == "mine\n"
    assert (service / "app" / "jwt" / "routes.py").exists()
    expected = tree(render(template, tmp_path / "service", components=["crud"]))
    assert expected.items() <= tree(service).items()
    rejected = run(folder, *command, "preset=foo")
    assert rejected.returncode == 1
    assert own.exists()


def test_copier_updates_a_service_from_cookiecutter(repository: Path, tmp_path: Path) -> None:
    url = f"git+file://{repository}"
    chosen = as_arguments(project_name="Pets", components="crud, jwt")
    command = ["--no-input", "--checkout=v1.0.0", url, *chosen]
    service = project(tmp_path / "projects", *command)
    git(service, "init", "--quiet")
    commit(service)
    toggled = {"components": ["crud", "probes"]}
    options: Any = {"defaults": True, "quiet": True, "overwrite": True}
    copier.run_update(service, data=toggled, vcs_ref=VcsRef.CURRENT, **options)
    shutil.rmtree(service / ".git")
    answers = {"project_name": "Pets"} | toggled
    copier.run_copy(url, tmp_path / "s", data=answers, vcs_ref="v1.0.0", **options)
    assert tree(service) == tree(tmp_path / "s")


def test_next_steps_are_printed(template: Path, tmp_path: Path) -> None:
    result = run(tmp_path / "projects", "--no-input", str(template))
    assert "Three commands start it" in result.stdout
    assert f'cd "{tmp_path / "projects" / "my-service"}"' in result.stdout


@pytest.mark.integration
@pytest.mark.parametrize("version", ["2.4.0", "2.6.0", cookiecutter.__version__])
def test_cookiecutter_works_without_copier_and_git(
    template: Path, tmp_path: Path, version: str
) -> None:
    """With neither Copier nor git installed, from a template outside a repository."""
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    tools, python = tmp_path / "tools", tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, *install, "--target", tools, "virtualenv"], check=True)
    environment = os.environ | {"PYTHONPATH": str(tools)}
    command = [sys.executable, "-m", "virtualenv", "--quiet", str(tmp_path / "venv")]
    subprocess.run(command, check=True, env=environment)
    subprocess.run([python, *install, f"cookiecutter=={version}"], check=True)
    environment = {"HOME": str(tmp_path), "PATH": str(python.parent)}
    arguments = ["--no-input", str(template), *as_arguments(components=components())]
    service = project(tmp_path / "projects", *arguments, python=str(python), env=environment)
    expected = render(template, tmp_path / "service", components=components())
    assert tree(service) == tree(expected)
