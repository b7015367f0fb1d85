"""The questions: choices, defaults, computed values and validation."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import cookiecutter_answers
from tests.combinations import ROOT, components, questions, render
from tests.oracle import SHARED

CONTRACT = [
    *("crud", "jwt", "uploads", "sklearn", "torch", "celery", "socketio", "pagination", "probes"),
    *("s3", "bedrock", "openai", "deepface"),
]
PRESETS = {
    "minimal": [],
    "crud": ["crud", "pagination", "probes"],
    "ml": ["sklearn", "torch", "celery", "probes"],
    "ai": ["uploads", "probes", "s3", "bedrock", "openai"],
    "everything": components(),
    "custom": [],
}


def choices(question: str) -> list[str]:
    """All choices of a question, available or not."""
    listed = questions()[question]["choices"]
    values = listed.values() if isinstance(listed, dict) else listed
    return [value["value"] if isinstance(value, dict) else value for value in values]


def asked() -> dict[str, Any]:
    """The questions that are shown to users."""
    return {
        name: question
        for name, question in questions().items()
        if not name.startswith("_") and question.get("when") is not False
    }


def test_all_components_and_presets_are_offered() -> None:
    assert set(CONTRACT) <= set(choices("components"))
    assert choices("components") == questions()["everything"]["default"]
    assert choices("preset") == list(PRESETS)


def test_each_component_has_its_folders() -> None:
    root = Path(__file__).parent.parent / "template"
    for parent in ("app", "tests"):
        folders = {path.name for path in (root / parent).iterdir() if path.is_dir()}
        assert folders - {"__pycache__", *SHARED} == set(components())


@pytest.mark.parametrize("name", asked())
def test_each_question_has_help_default_and_validation(name: str) -> None:
    question = asked()[name]
    assert question["help"].endswith(("?", ")"))
    assert "default" in question
    assert "validator" in question or "choices" in question


@pytest.mark.parametrize(("preset", "expected"), PRESETS.items())
def test_preset_selects_its_components(preset: str, expected: list[str]) -> None:
    known = {"preset": preset, "everything": components()}
    assert cookiecutter_answers.default("components", known) == expected


@pytest.mark.parametrize(("preset", "expected"), PRESETS.items())
def test_preset_and_components_are_recorded(
    template: Path, tmp_path: Path, preset: str, expected: list[str]
) -> None:
    answers = recorded(render(template, tmp_path / "service", preset=preset))
    assert answers["components"] == expected
    assert answers["preset"] == preset
    assert not {"everything", "database", "project_slug"} & set(answers)


def test_defaults_of_other_questions(template: Path, tmp_path: Path) -> None:
    versions = choices("python_version")
    assert versions == sorted(versions, key=lambda version: [int(n) for n in version.split(".")])
    answers = recorded(render(template, tmp_path / "service", components=["torch"]))
    assert answers["project_name"] == "My Service"
    assert answers["description"] == "My Service, a Flask service."
    assert answers["preset"] == "crud"
    assert answers["accelerator"] == "cpu"
    assert answers["python_version"] == versions[-1]


def recorded(service: Path) -> dict[str, Any]:
    answers: dict[str, Any] = yaml.safe_load((service / ".copier-answers.yml").read_text())
    return answers


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("My Service", "my-service"),
        ("  Ünïcode & Söhne  ", "n-code-s-hne"),
        ("3D Printing", "service-3d-printing"),
        ("日本語", "service"),
        ("x" * 60, "x" * 50),
        ("a/b\\c: d", "a-b-c-d"),
        ("Flask", "service-flask"),
    ],
)
def test_slug_is_a_dns_label(template: Path, tmp_path: Path, name: str, slug: str) -> None:
    service = render(template, tmp_path / "service", project_name=name, components=[])
    project = tomllib.loads((service / "pyproject.toml").read_text())["project"]
    assert project["name"] == slug


def test_list_of_requirements_is_complete() -> None:
    text = (ROOT / "template" / "pyproject.toml").read_text()
    named = re.findall(r'^ {4}"([\w-]+)[\[>=]|= \["([\w-]+)>=', text, re.MULTILINE)
    required = {first or second for first, second in named} - {"hatchling"}
    assert questions()["requirements"]["default"] == sorted(required)


@pytest.mark.parametrize(
    "name",
    [
        'The "Best" One',
        "O'Brien's",
        "both ' and \"",
        "back\\slash",
        "{{ 7 * 7 }}",
        "# {% if %}",
        "A – ’",
    ],
)
def test_any_project_name_is_quoted_correctly(template: Path, tmp_path: Path, name: str) -> None:
    answers = {"project_name": name, "description": name, "components": []}
    service = render(template, tmp_path / "service", **answers)
    project = tomllib.loads((service / "pyproject.toml").read_text())["project"]
    assert project["description"] == name
    code = "from app.config import SERVICE_NAME; print(SERVICE_NAME)"
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, cwd=service, text=True) == f"{name}\n"
    for check in (["check"], ["format", "--check"]):
        subprocess.run([sys.executable, "-m", "ruff", *check, "."], cwd=service, check=True)
    for file in ("compose.yaml", ".github/workflows/ci.yml"):
        assert yaml.safe_load((service / file).read_text())


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"project_name": ""}, "Give the service a name."),
        ({"project_name": "   "}, "Give the service a name."),
        ({"project_name": "x" * 61}, "Shorten the name to at most 60 characters."),
        ({"project_name": "two\nlines"}, "Write the name on one line"),
        ({"description": "x" * 201}, "Shorten the description to at most 200 characters."),
        ({"description": "two\nlines"}, "Write the description on one line"),
        ({"components": ["crud", "blockchain"]}, "is not in ['crud', 'jwt'"),
        ({"preset": "aix"}, "is not in ['minimal'"),
        ({"python_version": "2.7"}, "is not in ['3.11'"),
    ],
)
def test_invalid_answers_are_rejected_with_a_message(
    template: Path, tmp_path: Path, answers: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        render(template, tmp_path / "service", **answers)
    assert message in str(caught.value)
    assert not (tmp_path / "service").exists()


def test_copier_needs_no_trust_and_prints_next_steps(template: Path, tmp_path: Path) -> None:
    """Rendering runs no tasks or extensions; the next steps are those of the service's README."""
    command = [sys.executable, "-m", "copier", "copy", "--defaults", str(template), "service"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    _, _, message = result.stderr.partition("Three commands start it:\n")
    lines = re.findall(r"^  (\S.*)$", message, re.M)
    readme = (tmp_path / "service" / "README.md").read_text()
    start = re.search(r"^## Start\n\n```sh\n(.*?)```", readme, re.M | re.S)
    assert start is not None
    enter, *commands = [command for line in lines for command in line.split(" && ")]
    assert enter == 'cd "service"'
    assert commands == start[1].splitlines()


def test_template_files_are_valid_before_rendering() -> None:
    """Block markers are comments."""
    root = Path(__file__).parent.parent / "template"
    for path in root.rglob("*.py"):
        compile(path.read_text(), str(path), "exec")
    for path in [*root.rglob("*.y*ml"), *root.glob(".*/**/*.yml")]:
        if path.name != ".copier-answers.yml":
            list(yaml.safe_load_all(path.read_text()))
    tomllib.loads((root / "pyproject.toml").read_text())
