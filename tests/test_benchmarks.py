"""The benchmark's arithmetic, its load and its report. The servers of peers are started only by
``nox -s bench``.
"""

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
from benchmarks.measure import Known, WrongAnswerError
from benchmarks.scenarios import SCENARIOS, Scenario, fault, npy, read_answer
from benchmarks.systems import FASTAPI, MOSEC_TUNED, OURS, OURS_NPY, SAMPLE, SYSTEMS
from tests.combinations import ROOT

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.3, 2.9, 5.6, 1.8]]
ANSWER = [(0, 0.98), (2, 0.9)]
ASK = Scenario("iris-1-at-1", "iris", 1, 2)
PREDICTION = {"label": "setosa", "class_index": 0, "confidence": 0.98, "proba": {}}


def make_results(speed: dict[str, float], errors: int = 0) -> results.Results:
    """A run in which each system answers so many requests a second, in three rounds that differ."""
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
        scenarios=[
            results.Asked(
                name=one.name,
                title=one.title,
                model=one.model,
                rows=one.rows,
                connections=one.connections,
            )
            for one in SCENARIOS
        ],
        systems=[
            results.Participant(
                name=one.name,
                title=one.title,
                setup=one.setup,
                cold_start_s={"iris": 1, "mlp": 2},
                pss_mb={"iris": 100, "mlp": 100 if one.name == OURS else 400},
            )
            for one in SYSTEMS
        ],
        measurements=[
            results.Measurement(system=system, scenario=one.name, rounds=rounds[system])
            for one in SCENARIOS
            for system in speed
        ],
    )


ALL = {one.name: 100.0 for one in SYSTEMS} | {OURS: 1000.0, OURS_NPY: 1000.0}


@pytest.mark.parametrize("size", [1, 2, 99, 100, 101, 1000])
def test_quantiles_are_nearest_ranks(size: int) -> None:
    values = [float(number) for number in range(1, size + 1)]
    for share in (0.5, 0.99, 1.0):
        found = results.quantile(values, share)
        assert sum(value <= found for value in values) >= share * size
        assert sum(value <= found - 1 for value in values) < share * size
    assert results.quantile([], 0.5) == 0


def test_ratios_are_of_the_same_round() -> None:
    shaken = random.Random(3)
    base = [shaken.uniform(1, 100) for _ in range(9)]

    def measurement(factor: float) -> results.Measurement:
        rounds = [
            results.Round(
                requests_per_s=one * factor, p50_ms=1, p99_ms=1, errors=0, cpu_ms=1, load_cpu=0
            )
            for one in base
        ]
        return results.Measurement(system="x", scenario="y", rounds=rounds)

    assert results.ratio(measurement(3), measurement(1)) == pytest.approx(3)
    assert measurement(3).requests_per_s == pytest.approx(3 * median(base))
    assert results.ratio(measurement(3), measurement(0)) is None


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = make_results(ALL)
    results.save(written, tmp_path / "new" / "latest.json")
    assert results.load(tmp_path / "new" / "latest.json") == written
    document = json.loads((tmp_path / "new" / "latest.json").read_text())
    (tmp_path / "odd.json").write_text(json.dumps(document | {"more": 1}))
    with pytest.raises(ValidationError):
        results.load(tmp_path / "odd.json")


def test_the_figures_follow_the_numbers() -> None:
    found = figures(make_results(ALL))
    assert {one.met for one in found} == {True}
    slow = figures(make_results(ALL | {OURS: 90.0, OURS_NPY: 90.0}))
    assert {one.met for one in slow if "memory" not in one.text} == {False}
    fast_peer = make_results(ALL | {"litserve": 2000.0})
    missed = [one for one in figures(fast_peer) if one.met is False]
    assert [one.measured for one in missed] == [pytest.approx(0.5)]
    assert "LitServe" in missed[0].text
    alone = figures(make_results({OURS: 100.0}))
    assert [one.verdict for one in alone[:-1]] == ["not measured"] * (len(alone) - 1)


def test_the_chart_has_every_system_and_both_colour_schemes() -> None:
    image = draw(make_results(ALL | {"bentoml": 0.01}))
    texts = [one.text or "" for one in ET.fromstring(image).iter() if one.tag.endswith("text")]
    for system in SYSTEMS:
        assert system.title in texts, system.title
        assert len(system.title) * 7 < LABEL, "the bar would hide it"
    assert "prefers-color-scheme: dark" in image
    assert any("a <CPU>" in one for one in texts)


def test_the_tables_have_every_system_and_the_pages_a_place_for_them() -> None:
    found = make_results(ALL)
    words = report.details(found)
    for system in SYSTEMS:
        assert system.title in words, system.title
    for page in (report.README, report.DETAILS):
        before = page.read_text()
        new = report.filled(before, "| numbers |")
        assert "| numbers |" in new
        assert report.filled(new, "| others |") == report.filled(before, "| others |")
    with pytest.raises(ValueError, match="no place"):
        report.filled("nothing here", "x")


def test_the_pages_show_the_latest_results() -> None:
    latest = results.load()
    assert report.summary(latest) in report.README.read_text()
    assert report.details(latest) in report.DETAILS.read_text()
    assert report.CHART.read_text() == draw(latest)
    assert latest.errors == 0
    assert {one.name for one in latest.systems} == {one.name for one in SYSTEMS}


def test_a_disturbed_run_says_so() -> None:
    quiet = make_results(ALL)
    assert "Other work" not in report.conditions(quiet)
    document = json.loads(quiet.model_dump_json())
    for measurement in document["measurements"]:
        for one in measurement["rounds"]:
            one["others_cpu"] = 0.4
    assert "40%" in report.conditions(results.Results.model_validate(document))


def test_every_peer_is_pinned() -> None:
    for peer in {one.peer for one in SYSTEMS if one.peer}:
        lines = (PEERS / peer / "requirements.txt").read_text().splitlines()
        assert all("==" in line for line in lines), peer
        assert "torch==2.13.0" in lines


def test_only_a_whole_run_is_published_and_only_when_asked_to() -> None:
    assert command.parse([]).output != results.LATEST
    assert command.parse(["--only", FASTAPI]).output != results.LATEST
    assert command.parse(["--publish"]).output == results.LATEST
    assert command.parse(["--report"]).output == results.LATEST
    with pytest.raises(SystemExit):
        command.parse(["--publish", "--only", FASTAPI])
    assert command.plan_of(command.parse(["--quick"])).quick
    only = command.plan_of(command.parse(["--only", MOSEC_TUNED, SAMPLE]))
    assert [one.name for one in only.systems] == [OURS, SAMPLE, MOSEC_TUNED]


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
def test_every_form_of_an_answer_is_read(document: object) -> None:
    assert read_answer(json.dumps(document).encode()) == ANSWER


def test_wrong_answers_are_faults() -> None:
    assert fault(ANSWER, ANSWER) is None
    assert fault([(0, 0.98001), (2, 0.9)], ANSWER) is None
    for wrong in ([(1, 0.98), ANSWER[1]], [(0, 0.97), ANSWER[1]], ANSWER[:1], [(0, float("nan"))]):
        assert fault(wrong, ANSWER[: len(wrong)] if len(wrong) == 1 else ANSWER) or wrong == [
            ANSWER[0]
        ]
    assert fault(ANSWER[:1], ANSWER)
    for body in (b"{}", b"[1]", b"nothing", b'{"outputs": []}'):
        with pytest.raises(ValueError, match=r"no prediction|Expecting"):
            read_answer(body)


def test_arrays_are_written_as_numpy_reads_them() -> None:
    numpy = importlib.import_module("numpy")  # of the services; the lint session has none
    assert numpy.load(io.BytesIO(npy(ROWS))).tolist() == ROWS


class Handler(BaseHTTPRequestHandler):
    """Answers with what the test wants; in chunks where it wants that."""

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
def test_the_load_counts_answers_and_gives_the_last_back(chunked: bool) -> None:
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


def test_the_load_counts_errors() -> None:
    request = load.build_request("/", b"{}", "application/json")
    with serving((200, b"{}"), (503, b"{}")) as port:
        sample = load.run(port, request, 1, 0.05, 1)
    assert sample.errors == pytest.approx(len(sample.latencies) / 2, abs=1)


def test_a_wrong_answer_ends_the_run() -> None:
    system = next(one for one in SYSTEMS if one.name == FASTAPI)
    known = Known([ROWS[0]] * 512, [ANSWER[0]] * 512)
    right = json.dumps(PREDICTION).encode()
    with serving((200, right)) as port:
        measure.check(system, ASK, port, known)
        assert measure.send(system, ASK, port, known, 0.02, 1).answers
    for wrong in (PREDICTION | {"confidence": 0.5}, PREDICTION | {"class_index": 1}, {"no": 1}):
        with serving((200, json.dumps(wrong).encode())) as port:
            with pytest.raises(WrongAnswerError, match="FastAPI"):
                measure.check(system, ASK, port, known)
            with pytest.raises(WrongAnswerError, match="FastAPI"):
                measure.send(system, ASK, port, known, 0.02, 1)
    with serving((500, right)) as port, pytest.raises(WrongAnswerError, match="FastAPI"):
        measure.check(system, ASK, port, known)


def test_the_command_is_red_where_an_answer_is_wrong(
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


def test_the_commands_in_the_readme_are_understood() -> None:
    lines = re.findall(r"^nox -s bench(.*)$", report.DETAILS.read_text(), re.MULTILINE)
    assert len(lines) == 5
    for line in lines:
        assert command.plan_of(command.parse(shlex.split(line, comments=True)[1:])).systems


def test_the_sessions_lint_covers_the_benchmark() -> None:
    assert '"benchmarks"]' in (ROOT / "noxfile.py").read_text()
