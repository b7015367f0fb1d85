"""Arithmetic, load generator and reports of the benchmarks; does not start the systems."""

import importlib
import io
import json
import random
import re
import shlex
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

import pytest
from pydantic import ValidationError

from benchmarks import __main__ as command
from benchmarks import load, measure, report, results
from benchmarks.chart import LABEL, draw
from benchmarks.environments import PEERS
from benchmarks.figures import figures
from benchmarks.measure import Reference, WrongAnswerError
from benchmarks.scenarios import SCENARIOS, Scenario, find_mismatch, npy, read_answer
from benchmarks.systems import FASTAPI, MOSEC_TUNED, OURS, OURS_NPY, SAMPLE, SYSTEMS
from tests.combinations import ROOT

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.3, 2.9, 5.6, 1.8]]
ANSWER = [(0, 0.98), (2, 0.9)]
SCENARIO = Scenario("iris-1-at-1", "iris", 1, 2)
PREDICTION = {"label": "setosa", "class_index": 0, "confidence": 0.98, "proba": {}}


def make_results(speed: dict[str, float], errors: int = 0) -> results.Results:
    """Results of a run with three rounds that vary around each system's requests per second."""
    rounds = {
        system: [
            results.Round(
                requests_per_s=rate * swing,
                p50_ms=1000 / rate,
                p99_ms=3000 / rate,
                errors=errors,
                cpu_ms=1.5,
                load_cpu=0.1,
            )
            for swing in (1, 2, 0.5)
        ]
        for system, rate in speed.items()
    }
    return results.Results(
        date="2026-11-21 12:00 UTC",
        commit="abc1234",
        quick=True,
        seed=1,
        launches=1,
        seconds=0.6,
        bursts=2,
        machine=results.Machine(
            cpu="a <CPU>", cores=2, memory_gb=8, system="Linux 6", python="3.11.7"
        ),
        scenarios=[measure.describe_scenario(scenario) for scenario in SCENARIOS],
        systems=[
            results.SystemInfo(
                name=system.name,
                title=system.title,
                setup=system.setup,
                cold_start_s={"iris": 1, "mlp": 2},
                pss_mb={"iris": 100, "mlp": 100 if system.name == OURS else 400},
            )
            for system in SYSTEMS
        ],
        measurements=[
            results.Measurement(system=system, scenario=scenario.name, rounds=rounds[system])
            for scenario in SCENARIOS
            for system in speed
        ],
    )


ALL = {system.name: 100.0 for system in SYSTEMS} | {OURS: 1000.0, OURS_NPY: 1000.0}


@pytest.mark.parametrize("size", [1, 2, 99, 100, 101, 1000])
def test_quantile_is_the_nearest_rank(size: int) -> None:
    values = [float(number) for number in range(1, size + 1)]
    for share in (0.5, 0.99, 1.0):
        found = results.quantile(values, share)
        assert sum(value <= found for value in values) >= share * size
        assert sum(value <= found - 1 for value in values) < share * size
    assert results.quantile([], 0.5) == 0


def test_ratio_compares_corresponding_rounds() -> None:
    generator = random.Random(3)
    base = [generator.uniform(1, 100) for _ in range(9)]

    def measurement(factor: float) -> results.Measurement:
        rounds = [
            results.Round(
                requests_per_s=rate * factor, p50_ms=1, p99_ms=1, errors=0, cpu_ms=1, load_cpu=0
            )
            for rate in base
        ]
        return results.Measurement(system="x", scenario="y", rounds=rounds)

    assert results.ratio(measurement(3), measurement(1)) == pytest.approx(3)
    assert measurement(3).requests_per_s == pytest.approx(3 * median(base))
    assert results.ratio(measurement(3), measurement(0)) is None


def test_results_round_trip_through_json(tmp_path: Path) -> None:
    written = make_results(ALL)
    results.save(written, tmp_path / "new" / "latest.json")
    assert results.load(tmp_path / "new" / "latest.json") == written
    document = json.loads((tmp_path / "new" / "latest.json").read_text())
    (tmp_path / "odd.json").write_text(json.dumps(document | {"more": 1}))
    with pytest.raises(ValidationError):
        results.load(tmp_path / "odd.json")


def test_figures_reflect_the_measurements() -> None:
    found = figures(make_results(ALL))
    assert {figure.met for figure in found} == {True}
    slow = figures(make_results(ALL | {OURS: 90.0, OURS_NPY: 90.0}))
    assert {figure.met for figure in slow if "memory" not in figure.text} == {False}
    fast_peer = make_results(ALL | {"litserve": 2000.0})
    missed = [figure for figure in figures(fast_peer) if figure.met is False]
    assert [figure.measured for figure in missed] == [pytest.approx(0.5)]
    assert "LitServe" in missed[0].text
    alone = figures(make_results({OURS: 100.0}))
    assert [figure.verdict for figure in alone[:-1]] == ["not measured"] * (len(alone) - 1)


def test_chart_has_all_systems_and_both_colour_schemes() -> None:
    image = draw(make_results(ALL | {"bentoml": 0.01}))
    texts = [
        element.text or ""
        for element in ET.fromstring(image).iter()
        if element.tag.endswith("text")
    ]
    for system in SYSTEMS:
        assert system.title in texts, system.title
        assert len(system.title) * 7 < LABEL, "too long for its space"
    assert "prefers-color-scheme: dark" in image
    assert any("a <CPU>" in text for text in texts)


def test_tables_have_all_systems_and_pages_have_markers() -> None:
    found = make_results(ALL)
    words = report.details(found)
    for system in SYSTEMS:
        assert system.title in words, system.title
    for page in (report.README, report.DETAILS):
        before = page.read_text()
        new = report.filled(before, "| numbers |")
        assert "| numbers |" in new
        assert report.filled(new, "| others |") == report.filled(before, "| others |")
    with pytest.raises(ValueError, match="no markers"):
        report.filled("no markers", "x")


def test_pages_show_the_latest_results() -> None:
    latest = results.load()
    assert report.summary(latest) in report.README.read_text()
    assert report.details(latest) in report.DETAILS.read_text()
    assert report.CHART.read_text() == draw(latest)
    assert latest.errors == 0
    assert {system.name for system in latest.systems} == {system.name for system in SYSTEMS}


def test_report_mentions_other_load() -> None:
    quiet = make_results(ALL)
    assert "Other processes" not in report.conditions(quiet)
    document = json.loads(quiet.model_dump_json())
    for measurement in document["measurements"]:
        for measured in measurement["rounds"]:
            measured["others_cpu"] = 0.4
    assert "40%" in report.conditions(results.Results.model_validate(document))


def test_requirements_of_peers_are_pinned() -> None:
    for peer in {system.peer for system in SYSTEMS if system.peer}:
        lines = (PEERS / peer / "requirements.txt").read_text().splitlines()
        assert all("==" in line for line in lines), peer
        assert "torch==2.13.0" in lines


def test_only_complete_runs_can_be_published() -> None:
    assert command.parse([]).output != results.LATEST
    assert command.parse(["--only", FASTAPI]).output != results.LATEST
    assert command.parse(["--publish"]).output == results.LATEST
    assert command.parse(["--report"]).output == results.LATEST
    with pytest.raises(SystemExit):
        command.parse(["--publish", "--only", FASTAPI])
    assert command.plan_of(command.parse(["--quick"])).quick
    only = command.plan_of(command.parse(["--only", MOSEC_TUNED, SAMPLE]))
    assert [system.name for system in only.systems] == [OURS, SAMPLE, MOSEC_TUNED]


@pytest.mark.parametrize(
    "document",
    [
        [{"class_index": 0, "confidence": 0.98}, {"class_index": 2, "confidence": 0.9}],
        {"class_index": [0, 2], "confidence": [0.98, 0.9]},
        {"predictions": [{"class": 0, "confidence": 0.98}, {"class": 2, "confidence": 0.9}]},
        {"class": [0, 2], "confidence": [0.98, 0.9], "device": "cpu", "batch_size": 2},
        {
            "outputs": [
                {
                    "name": "predict_proba",
                    "shape": [2, 3],
                    "data": [0.98, 0.01, 0.01, 0.0, 0.1, 0.9],
                }
            ]
        },
        {
            "outputs": [
                {"name": "output-0", "shape": [2, 1], "data": [0, 2]},
                {"name": "output-1", "shape": [2, 1], "data": [0.98, 0.9]},
            ]
        },
    ],
)
def test_responses_of_all_systems_are_parsed(document: object) -> None:
    assert read_answer(json.dumps(document).encode()) == ANSWER


def test_wrong_predictions_are_detected() -> None:
    assert find_mismatch(ANSWER, ANSWER) is None
    assert find_mismatch([(0, 0.98001), (2, 0.9)], ANSWER) is None
    for wrong in ([(1, 0.98), ANSWER[1]], [(0, 0.97), ANSWER[1]], ANSWER[:1], [(0, float("nan"))]):
        assert find_mismatch(
            wrong, ANSWER[: len(wrong)] if len(wrong) == 1 else ANSWER
        ) or wrong == [ANSWER[0]]
    assert find_mismatch(ANSWER[:1], ANSWER)
    for body in (b"{}", b"[1]", b"nothing", b'{"outputs": []}'):
        with pytest.raises(ValueError, match=r"not a prediction|Expecting"):
            read_answer(body)


def test_npy_can_be_read_by_numpy() -> None:
    numpy = importlib.import_module("numpy")  # not installed in the lint session
    assert numpy.load(io.BytesIO(npy(ROWS))).tolist() == ROWS


class Handler(BaseHTTPRequestHandler):
    """Responds with ``answers`` in turn; in chunks if ``chunked``."""

    protocol_version = "HTTP/1.1"
    answers: tuple[tuple[int, bytes], ...] = ()
    chunked = False
    count = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = self.answers[type(self).count % len(self.answers)]
        type(self).count += 1
        self.send_response(status)
        if self.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (body[:5], body[5:]):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(*answers: tuple[int, bytes], chunked: bool = False) -> Iterator[int]:
    handler = type("OneHandler", (Handler,), {"answers": answers, "chunked": chunked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("chunked", [False, True])
def test_load_counts_responses_and_returns_the_last(chunked: bool) -> None:
    body = json.dumps(PREDICTION).encode()
    request = load.build_request("/", b"{}", "application/json")
    with serving((200, body), chunked=chunked) as port:
        sample = load.run(port, request, 2, 0.1, 2)
    assert sample.answers > 4
    assert sample.seconds == pytest.approx(0.1)
    assert sample.answers <= len(sample.latencies) <= sample.answers + 2 * 2
    assert sample.last == [body, body]
    assert sample.errors == 0
    assert 0 < min(sample.latencies) <= max(sample.latencies) < 5


def test_load_counts_errors() -> None:
    request = load.build_request("/", b"{}", "application/json")
    with serving((200, b"{}"), (503, b"{}")) as port:
        sample = load.run(port, request, 1, 0.05, 1)
    assert sample.errors == pytest.approx(len(sample.latencies) / 2, abs=1)


def test_wrong_prediction_ends_the_run() -> None:
    system = next(system for system in SYSTEMS if system.name == FASTAPI)
    reference = Reference([ROWS[0]] * 512, [ANSWER[0]] * 512)
    right = json.dumps(PREDICTION).encode()
    with serving((200, right)) as port:
        measure.check(system, SCENARIO, port, reference)
        assert measure.send(system, SCENARIO, port, reference, 0.02, 1).answers
    for wrong in (PREDICTION | {"confidence": 0.5}, PREDICTION | {"class_index": 1}, {"no": 1}):
        with serving((200, json.dumps(wrong).encode())) as port:
            with pytest.raises(WrongAnswerError, match="FastAPI"):
                measure.check(system, SCENARIO, port, reference)
            with pytest.raises(WrongAnswerError, match="FastAPI"):
                measure.send(system, SCENARIO, port, reference, 0.02, 1)
    with serving((500, right)) as port, pytest.raises(WrongAnswerError, match="FastAPI"):
        measure.check(system, SCENARIO, port, reference)


def test_command_fails_for_wrong_predictions_and_errors(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(plan: measure.Plan) -> results.Results:
        raise WrongAnswerError("mosec is wrong")

    monkeypatch.setattr(command, "measure", wrong)
    output = ["--output", str(tmp_path / "out.json")]
    assert command.main(output) == 1
    assert "mosec is wrong" in capsys.readouterr().err
    monkeypatch.setattr(command, "measure", lambda plan: make_results(ALL, errors=1))
    assert command.main(output) == 1
    monkeypatch.setattr(command, "measure", lambda plan: make_results(ALL))
    assert command.main(output) == 0
    assert "≥ 4.5 ×" in capsys.readouterr().out


def test_commands_in_the_readme_are_valid() -> None:
    lines = re.findall(r"^nox -s bench(.*)$", report.DETAILS.read_text(), re.MULTILINE)
    assert len(lines) == 5
    for line in lines:
        assert command.plan_of(command.parse(shlex.split(line, comments=True)[1:])).systems


def test_lint_session_covers_the_benchmarks() -> None:
    assert '"benchmarks"]' in (ROOT / "noxfile.py").read_text()
