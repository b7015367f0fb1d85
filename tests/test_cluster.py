"""Services on a real Kubernetes cluster: checked by its API server, then rolled out, scaled,
drained and killed while requests and jobs are running.

It needs docker, and a cluster of at least two nodes that ``kubectl`` reaches. ``CLUSTER_LOAD`` is
the command that brings an image to the nodes, by default that of kind.
"""

import json
import os
import shlex
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests import oracle
from tests.combinations import Combination, covering, everything, render
from tests.test_images import image_python
from tests.test_jobs import KINDS
from tests.test_live import ANN, SCRIPTS

pytestmark = pytest.mark.cluster

LOAD_IMAGE = os.environ.get("CLUSTER_LOAD") or "kind load docker-image {image}"
SERVICES = {
    "minimal": Combination.parse("nothing name=wild"),
    "everything": everything(without=["deepface"]),  # which would download gigabytes of weights
}
CONNECTIONS = 32
TWO_PODS = "- {op: replace, path: /spec/minReplicas, value: 2}"
MEBI = 1024 * 1024

#: A namespace that the network policy admits, and pods there: a client that stands for the Ingress
#: controller, and an S3 server on a port that the network policy admits.
CLIENTS = "ingress-nginx"
NAMESPACE = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: {CLIENTS}}}
"""
CLIENT = """
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - {name: client, image: IMAGE, command: [sleep, infinity]}
"""
S3_IMAGE = "s3-server:test"
S3_DOCKERFILE = """
FROM python:VERSION-slim
RUN pip install --no-cache-dir "moto[server]"
CMD ["moto_server", "--host", "0.0.0.0", "--port", "443"]
"""
S3 = f"""
apiVersion: v1
kind: Pod
metadata: {{name: s3, labels: {{app: s3}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: s3
      image: {S3_IMAGE}
      env: [{{name: S3_IGNORE_SUBDOMAIN_BUCKETNAME, value: "true"}}]
      readinessProbe: {{tcpSocket: {{port: 443}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: s3}}
spec:
  selector: {{app: s3}}
  ports: [{{port: 443}}]
"""
MAKE_BUCKET = """
import boto3, sys
keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
client = boto3.client("s3", "us-east-1", endpoint_url="http://127.0.0.1:443", **keys)
client.create_bucket(Bucket=sys.argv[1])
"""

#: Sends requests on connections that are kept alive until its input ends, then prints how many
#: got which answer.
LOAD = """
import http.client, json, os, sys, threading
from collections import Counter

host, path, token, connections = sys.argv[1:]
answers = Counter()
stop = threading.Event()
threading.Timer(900, os._exit, [1]).start()

def send():
    connection = http.client.HTTPConnection(host, timeout=60)
    while not stop.wait(0.05):
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            response.read()
            answers[response.status] += 1
        except (OSError, http.client.HTTPException) as error:
            answers[repr(error)] += 1
            connection.close()

threads = [threading.Thread(target=send) for _ in range(int(connections))]
for thread in threads:
    thread.start()
sys.stdin.read()
stop.set()
for thread in threads:
    thread.join()
print(json.dumps(answers), flush=True)
os._exit(0)
"""


def run(*command: str, cwd: Path | None = None, stdin: str | None = None) -> str:
    """What a command prints, errors and warnings too; it must end well."""
    result = subprocess.run(
        command, cwd=cwd, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert result.returncode == 0, f"{shlex.join(command)}\n{result.stdout}"
    return result.stdout


def build(folder: Path, image: str) -> None:
    """Build an image and bring it to the nodes."""
    run("docker", "build", "--quiet", "--tag", image, ".", cwd=folder)
    run(*shlex.split(LOAD_IMAGE.format(image=image)))


@dataclass
class Service:
    """A service that is deployed by the commands of its docs/deploy.md."""

    folder: Path
    combination: Combination

    @property
    def slug(self) -> str:
        return oracle.slug(self.combination)

    @property
    def namespace(self) -> str:
        return f"{self.slug}-dev"

    @property
    def several(self) -> list[str]:
        """The process types of which several pods run."""
        return sorted(oracle.processes(self.combination) - {"beat", "release"})

    def has(self, component: str) -> bool:
        return component in self.combination.components

    def kubectl(self, *words: str) -> str:
        return run("kubectl", "--namespace", self.namespace, *words)

    def deploy(self, version: str) -> None:
        """Build a version, and deploy it with the servers of the dev overlay."""
        build(self.folder, f"{self.slug}:{version}")
        self.write_overlay(version)
        guide = (self.folder / "docs" / "deploy.md").read_text()
        commands = guide.partition("```sh\n")[2].partition("```")[0].splitlines()
        for command in commands:
            if command.startswith("kubectl") and "create secret" not in command:
                command = command.replace("prod/namespace.yaml", "dev/namespace.yaml")
                command = command.replace("overlays/prod", "overlays/test")
                command = command.replace(f" {self.slug} ", f" {self.namespace} ")
                run(*shlex.split(command), cwd=self.folder)

    def write_overlay(self, version: str) -> None:
        """The dev overlay, but with as many pods as in production, and with an S3 server."""
        variables = {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": f"http://s3.{CLIENTS}:443",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        literals = [f"{name}={value}" for name, value in variables.items()]
        without_autoscaler = {"websocket"} & set(self.several)
        overlay = {
            "namespace": self.namespace,
            "resources": ["../dev"],
            "images": [{"name": self.slug, "newTag": version}],
            "replicas": [
                {"name": f"{self.slug}-{name}", "count": 2} for name in without_autoscaler
            ],
            "patches": [{"target": {"kind": "HorizontalPodAutoscaler"}, "patch": TWO_PODS}],
            "configMapGenerator": [{"name": self.slug, "behavior": "merge", "literals": literals}],
        }
        folder = self.folder / "deploy" / "k8s" / "overlays" / "test"
        folder.mkdir(exist_ok=True)
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))

    def wait(self) -> None:
        """Until the pods of all process types are ready and new, and others are gone."""
        deadline = time.monotonic() + 600
        while not self.is_complete():
            assert time.monotonic() < deadline, self.kubectl("get", "pods")
            time.sleep(1)
        self.kubectl("rollout", "status", "deployment", "--timeout=10m")

    def is_complete(self) -> bool:
        """Whether the autoscalers created the pods, and none is ending."""
        ending = [pod for pod in self.all_pods() if "deletionTimestamp" in pod["metadata"]]
        return not ending and all(len(self.pods(process)) >= 2 for process in self.several)

    def all_pods(self) -> list[dict[str, Any]]:
        label = f"app.kubernetes.io/name={self.slug}"
        output = self.kubectl("get", "pods", f"--selector={label}", "--output=json")
        found: list[dict[str, Any]] = json.loads(output)["items"]
        return found

    def pods(self, process: str) -> list[dict[str, Any]]:
        """The pods of a process type."""
        label = "app.kubernetes.io/component"
        return [pod for pod in self.all_pods() if pod["metadata"]["labels"][label] == process]

    def delete(self, process: str, *options: str) -> None:
        """Delete one of the pods."""
        pod = self.pods(process)[0]["metadata"]["name"]
        self.kubectl("delete", "pod", pod, *options)

    @contextmanager
    def connect(self, process: str = "web") -> Iterator[httpx.Client]:
        """A client of one of the pods, logged in where there are users."""
        target = f"service/{self.slug}-{process}"
        with subprocess.Popen(
            ["kubectl", "--namespace", self.namespace, "port-forward", target, ":http"],
            stdout=subprocess.PIPE,
            text=True,
        ) as forward:
            assert forward.stdout is not None
            try:
                port = forward.stdout.readline().partition(" -> ")[0].rpartition(":")[2]
                with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                    if self.has("jwt"):
                        client.post("/api/v1/auth/register", json=ANN)
                        tokens = client.post("/api/v1/auth/login", json=ANN).json()
                        client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
                    yield client
            finally:
                forward.terminate()

    @contextmanager
    def load(self) -> Iterator[Counter[str]]:
        """Send requests on many connections; afterwards, how many got which status or error."""
        with self.connect() as client:
            token = client.headers.get("Authorization", "none").removeprefix("Bearer ")
        path = "/api/v1/posts" if self.has("pagination") else "/"
        host = f"{self.slug}-web.{self.namespace}"
        python = ["--", "python", "-c", LOAD, host, path, token, str(CONNECTIONS)]
        process = subprocess.Popen(
            ["kubectl", f"--namespace={CLIENTS}", "exec", "--stdin", "client", *python],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        answers = Counter[str]()
        time.sleep(5)
        try:
            yield answers
            time.sleep(5)
        finally:
            output, _ = process.communicate()
        answers.update(json.loads(output))
        print(f"{self.slug}: {dict(answers)}")

    def memory(self) -> dict[str, list[int]]:
        """The MiB that each pod of a process type uses, as the kubelets count them."""
        found: dict[str, list[int]] = {name: [] for name in [*self.several, "beat"]}
        for node in nodes():
            path = f"/api/v1/nodes/{node}/proxy/stats/summary"
            for pod in json.loads(run("kubectl", "get", "--raw", path))["pods"]:
                name = pod["podRef"]["name"].removeprefix(f"{self.slug}-").partition("-")[0]
                if pod["podRef"]["namespace"] == self.namespace and name in found:
                    found[name].append(pod["memory"]["workingSetBytes"] // MEBI)
        return found


def nodes() -> list[str]:
    """The names of the nodes that run pods."""
    found = json.loads(run("kubectl", "get", "nodes", "--output=json"))["items"]
    return [node["metadata"]["name"] for node in found if not node["spec"].get("taints")]


@pytest.fixture(scope="module")
def clients() -> Iterator[None]:
    """The namespace of the client. At the end, all that the tests made is deleted."""
    run("kubectl", "apply", "-f", "-", stdin=NAMESPACE)
    yield
    made = [CLIENTS, *(f"{slug}{end}" for slug in oracle.SLUGS.values() for end in ("", "-dev"))]
    run("kubectl", "delete", "namespace", "--ignore-not-found", *made)


@pytest.fixture(scope="module", params=SERVICES)
def service(
    template: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
    clients: None,
) -> Iterator[Service]:
    """A service that is deployed, beside the client and the servers that it needs."""
    combination = SERVICES[request.param]
    answers = combination.answers | {"python_version": image_python()}
    folder = render(template, tmp_path_factory.mktemp("cluster") / "service", **answers)
    service = Service(folder, combination)
    if service.has("celery"):
        with (folder / "app" / "celery" / "checksum.py").open("a") as example:
            example.write(KINDS)
    if service.has("torch"):
        run(str(SCRIPTS / "flask"), "--app", "wsgi", "train-torch", cwd=folder)
    if service.has("s3"):
        (folder.parent / "Dockerfile").write_text(S3_DOCKERFILE.replace("VERSION", image_python()))
        build(folder.parent, S3_IMAGE)
        start("s3", S3)
        python = ["python", "-c", MAKE_BUCKET, service.namespace]  # as the dev overlay names it
        run("kubectl", "--namespace", CLIENTS, "exec", "s3", "--", *python)
    service.deploy("1")
    service.wait()
    start("client", CLIENT.replace("IMAGE", f"{service.slug}:1"))
    yield service
    run("kubectl", "delete", "namespace", service.namespace)  # the next one needs its room


def start(pod: str, manifest: str) -> None:
    """A pod beside the service, in place of one of an earlier service."""
    run("kubectl", "--namespace", CLIENTS, "delete", "pod", pod, "--ignore-not-found")
    run("kubectl", "--namespace", CLIENTS, "apply", "-f", "-", stdin=manifest)
    ready = ["--for=condition=ready", f"pod/{pod}", "--timeout=5m"]
    run("kubectl", "--namespace", CLIENTS, "wait", *ready)


@pytest.mark.parametrize("combination", covering(2), ids=str)
def test_the_api_server_accepts_every_overlay(
    template: Path, tmp_path: Path, clients: None, combination: Combination
) -> None:
    service = render(template, tmp_path / "service", **combination.answers)
    for overlay in (service / "deploy" / "k8s" / "overlays").iterdir():
        run("kubectl", "apply", "--server-side", "-f", str(overlay / "namespace.yaml"))
        options = ["--server-side", "--validate=strict", "--dry-run=server"]
        output = run("kubectl", "apply", *options, "-k", str(overlay))
        assert "Warning" not in output  # of a pod that is not "restricted", for example


def test_the_service_does_its_work(service: Service) -> None:
    with service.connect() as client:
        assert client.get("/").status_code == 200
        if service.has("uploads"):
            file = {"file": ("numbers.csv", b"a,b\n1,2\n")}
            location = client.post("/api/v1/uploads", files=file).headers["Location"]
            assert client.get(f"{location}/content").content == b"a,b\n1,2\n"
        if service.has("torch"):
            numbers = {"inputs": [[0] * 10]}
            assert client.post("/api/v1/torch/predict", json=numbers).status_code == 200
    if service.has("socketio"):
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        upgrade["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
        path = "/socket.io/?EIO=4&transport=websocket"
        with (
            service.connect("websocket") as client,
            client.stream("GET", path, headers=upgrade) as r,
        ):
            assert r.status_code == 101
    print(f"{service.slug} idle: {service.memory()} MiB")


def test_a_new_version_is_rolled_out_without_a_failed_request(service: Service) -> None:
    with (service.folder / "wsgi.py").open("a") as code:
        code.write("# version 2\n")
    with service.load() as answers:
        service.deploy("2")
        service.wait()
    assert set(answers) == {"200"}
    images = {pod["spec"]["containers"][0]["image"] for pod in service.pods("web")}
    assert images == {f"{service.slug}:2"}


def test_pods_come_and_go_without_a_failed_request(service: Service) -> None:
    web = f"{service.slug}-web"
    with service.load() as answers:
        service.kubectl("patch", "hpa", web, "--patch", '{"spec": {"minReplicas": 3}}')
        three = "--for=jsonpath={.status.readyReplicas}=3"
        service.kubectl("wait", f"deployment/{web}", three, "--timeout=5m")
        service.delete("web")
        service.wait()
        service.kubectl("patch", "hpa", web, "--patch", '{"spec": {"minReplicas": 2}}')
        service.kubectl("scale", f"deployment/{web}", "--replicas=2")
        service.wait()
    assert set(answers) == {"200"}


def test_a_node_is_drained_without_a_failed_request(service: Service) -> None:
    node = service.pods("web")[0]["spec"]["nodeName"]
    with service.load() as answers:
        try:
            label = f"--pod-selector=app.kubernetes.io/name={service.slug}"
            run("kubectl", "drain", node, label, "--delete-emptydir-data", "--timeout=10m")
            service.wait()
        finally:
            run("kubectl", "uncordon", node)
    assert set(answers) == {"200"}
    assert node not in {pod["spec"]["nodeName"] for pod in service.pods("web")}


def test_killed_pods_are_replaced(service: Service) -> None:
    for process in service.several:
        service.delete(process, "--grace-period=0", "--force")
    service.wait()
    with service.load() as answers:
        pass
    assert set(answers) == {"200"}


@pytest.mark.parametrize("service", ["everything"], indirect=True)
def test_no_job_is_lost_while_workers_come_and_go(service: Service) -> None:
    with service.connect() as client:
        nap = {"kind": "nap", "input": {"seconds": 4}}
        jobs = [client.post("/api/v1/jobs", json=nap).headers["Location"] for _ in range(40)]
        service.kubectl("rollout", "restart", f"deployment/{service.slug}-worker")
        service.wait()
        service.delete("worker")
        service.wait()
        states = Counter[str]()
        deadline = time.monotonic() + 600
        while states["SUCCESS"] < len(jobs) and time.monotonic() < deadline:
            time.sleep(2)
            states = Counter(client.get(job).json()["state"] for job in jobs)
    assert states == {"SUCCESS": len(jobs)}


def test_no_process_came_near_its_limits(service: Service) -> None:
    """Last, after the load."""
    print(f"{service.slug} after load: {service.memory()} MiB")
    for pod in service.all_pods():
        for status in pod["status"]["containerStatuses"]:
            assert status["restartCount"] == 0, status
