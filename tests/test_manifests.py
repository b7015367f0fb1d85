"""Validates the Kubernetes manifests, Dockerfile, compose file and CI of services, all offline."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import oracle
from tests.combinations import ROOT, Combination, covering, render
from tests.kubernetes import build, kubectl

pytestmark = pytest.mark.manifests

#: The oldest and the newest Kubernetes that is supported.
VERSIONS = ("1.34", "1.37")
OVERLAYS = ("dev", "prod")
EVERYTHING = Combination.parse("all")
#: Kinds of custom resources, which cannot be validated.
CUSTOM = {"ExternalSecret", "HTTPRoute", "PodMonitor", "PrometheusRule", "ScaledObject"}


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return kubectl(tmp_path_factory.mktemp("kubectl"))


@pytest.fixture(scope="session")
def everything(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(template, tmp_path_factory.mktemp("all") / "service", **EVERYTHING.answers)


def run(*command: str, cwd: Path | None = None) -> str:
    """Run a tool, which must succeed; returns its output."""
    program = os.environ.get(command[0].upper()) or Path(sys.executable).with_name(command[0])
    words = [str(program), *command[1:]]
    result = subprocess.run(words, cwd=cwd, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("combination", covering(2), ids=str)
def test_overlays_are_valid_and_complete(
    template: Path, tmp_path: Path, program: str, combination: Combination
) -> None:
    service = render(template, tmp_path / "service", **combination.answers)
    for overlay in OVERLAYS:
        documents = build(program, service / "deploy" / "k8s" / "overlays" / overlay)
        validate(documents, tmp_path)
        check_processes(documents, combination)
        check_references(documents, overlay)


@pytest.mark.parametrize("option", ["gateway", "external-secrets", "pod-monitor", "keda"])
def test_options_can_be_enabled(template: Path, tmp_path: Path, program: str, option: str) -> None:
    service = render(template, tmp_path / "service", **EVERYTHING.answers)
    path = service / "deploy" / "k8s" / "overlays" / "prod" / "kustomization.yaml"
    text = path.read_text()
    line = f"  # - ../../options/{option}\n"
    assert line in text
    path.write_text(text.replace(line, line.replace("# ", "")))
    documents = build(program, path.parent)
    validate(documents, tmp_path)
    kinds = {document["kind"] for document in documents}
    assert kinds & CUSTOM
    assert option != "gateway" or "Ingress" not in kinds
    for document in documents:
        if "dashboard.json" in document.get("data", {}):
            assert json.loads(document["data"]["dashboard.json"])["panels"]


def validate(documents: list[dict[str, Any]], folder: Path) -> None:
    """Validate strictly against the schemas of Kubernetes."""
    known = [document for document in documents if document["kind"] not in CUSTOM]
    file = folder / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(known))
    for version in VERSIONS:
        run("kubernetes-validate", "--strict", "--quiet", "-k", version, str(file))


def pods(documents: list[dict[str, Any]], combination: Combination) -> Iterator[dict[str, Any]]:
    """The pod templates of the service itself."""
    slug = oracle.slug(combination)
    for document in documents:
        if document["kind"] in {"Deployment", "Job"}:
            template = document["spec"]["template"]
            if template["metadata"]["labels"]["app.kubernetes.io/name"] == slug:
                yield template


def check_processes(documents: list[dict[str, Any]], combination: Combination) -> None:
    """All process types run their command in a restricted container."""
    found = {}
    for pod in pods(documents, combination):
        (container,) = pod["spec"]["containers"]
        found[pod["metadata"]["labels"]["app.kubernetes.io/component"]] = container
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert {"requests", "limits"} <= set(container["resources"])
        ports = {port["name"] for port in container.get("ports", ())}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            action = container.get(probe, {})
            port = (action.get("httpGet") or action.get("tcpSocket") or {}).get("port")
            assert port is None or port in ports, f"{probe} uses port {port}"
    weights = found.pop("weights", None)
    assert (weights is not None) is ("deepface" in combination.components)
    assert set(found) == oracle.processes(combination)
    for name, container in found.items():
        assert " ".join(container["args"]) == oracle.COMMANDS[name]
    gpu = "nvidia.com/gpu" in found["web"]["resources"]["limits"]
    assert gpu is (oracle.accelerator(combination) == "cuda")


def check_references(documents: list[dict[str, Any]], overlay: str) -> None:
    """Referenced objects exist, except for the Secret in production."""
    names = {(document["kind"], document["metadata"]["name"]) for document in documents}
    text = json.dumps(documents)
    for kind, pattern in (
        ("ConfigMap", r'"configMapRef": \{"name": "([^"]+)"'),
        ("PersistentVolumeClaim", r'"claimName": "([^"]+)"'),
        ("ServiceAccount", r'"serviceAccountName": "([^"]+)"'),
        ("Service", r'"service": \{"name": "([^"]+)"'),
    ):
        for name in re.findall(pattern, text):
            assert (kind, name) in names, f"{kind} {name} does not exist"
    secrets = set(re.findall(r'"secretName": "([^"]+)"', text))
    (secret,) = {name for name in secrets if not name.endswith("-tls")}
    assert (("Secret", secret) in names) is (overlay == "dev")


def test_checkov_finds_no_issues(everything: Path, program: str, tmp_path: Path) -> None:
    documents = build(program, everything / "deploy" / "k8s" / "overlays" / "prod")
    file = tmp_path / "prod.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    options = ["--skip-download", "--quiet", "--output=json"]
    found = json.loads(run("checkov", "--file", str(file), "--framework=kubernetes", *options))
    assert found["summary"]["failed"] == 0
    assert found["summary"]["passed"] >= 90
    frameworks = ["--framework", "dockerfile", "github_actions"]
    run("checkov", "--directory", str(everything), *options, *frameworks)


def test_hadolint_finds_no_issues(everything: Path) -> None:
    run("hadolint", "Dockerfile", cwd=everything)


def test_compose_and_workflows_match_their_schemas(everything: Path) -> None:
    run("check-jsonschema", "--builtin-schema=vendor.compose-spec", "compose.yaml", cwd=everything)
    workflows = sorted((everything / ".github" / "workflows").glob("*.yml"))
    assert workflows
    schema = "--builtin-schema=vendor.github-workflows"
    run("check-jsonschema", schema, *map(str, workflows))
    run("zizmor", "--offline", ".", cwd=everything)
    run("zizmor", "--offline", ".github", cwd=ROOT)


def test_gitlab_ci_matches_its_schema(template: Path, tmp_path: Path) -> None:
    answers = EVERYTHING.answers | {"ci": "gitlab"}
    service = render(template, tmp_path / "service", **answers)
    schema = ["--builtin-schema=vendor.gitlab-ci", "--data-transform=gitlab-ci"]
    run("check-jsonschema", *schema, ".gitlab-ci.yml", cwd=service)
