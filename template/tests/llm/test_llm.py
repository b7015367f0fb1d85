"""Limits, errors and streams, with a provider that does what the test says."""

from collections.abc import Callable, Iterator
from threading import Event
# {% if "socketio" in components %}
from time import monotonic, sleep
# {% endif %}
from typing import Any

import pytest
from flask import Flask
# {% if "celery" in components %}
from flask.testing import FlaskClient
# {% endif %}
from pydantic import BaseModel, ValidationError

# {% if "celery" in components %}
from app.celery.execution import JobError
# {% endif %}
from app.errors import Invalid
from app.llm.errors import ProviderError, from_status
# {% if "celery" in components %}
from app.llm.jobs import chat
# {% endif %}
from app.llm.schemas import Answer, Prompt, Usage
from app.llm.service import Events, LanguageModels

Script = Callable[[], Iterator[str | Answer]]

CONFIG = {
    "LLM_PROVIDER": "scripted",
    "LLM_CONCURRENCY": 2,
    "LLM_MAX_TOKENS": 100,
    "LLM_TIMEOUT": 60,
    "LLM_LOG_PROMPTS": False,
}
PROMPT = Prompt(message="secret question")
ANSWER = Answer(model="m", stop_reason="end_turn", usage=Usage(output_tokens=2), reply="Hello")


class Scripted:
    """A provider whose answers the test writes."""

    name = "scripted"
    model = "m"
    has_stop_sequences = False

    def __init__(self, script: Script) -> None:
        self.script = script
        self.closed = Event()

    def ask(self, prompt: Prompt, schema: type[BaseModel] | None, stream: bool) -> Events:
        try:
            yield from self.script()
        finally:
            self.closed.set()

    def explain(self, error: Exception) -> ProviderError:
        return ProviderError("unavailable")


def hello() -> Iterator[str | Answer]:
    yield "Hel"
    yield "lo"
    yield ANSWER


def models_of(script: Script = hello, **settings: object) -> LanguageModels:
    """Models of one provider, which follows the script."""
    models = LanguageModels(CONFIG | settings)
    models.providers["scripted"] = Scripted(script)
    return models


def free_slots(models: LanguageModels) -> int:
    count = 0
    while models.slots.acquire(blocking=False):
        count += 1
    for _ in range(count):
        models.slots.release()
    return count


def test_an_answer_whole_and_in_pieces() -> None:
    models = models_of()
    assert models.answer(PROMPT) == ANSWER
    assert list(models.stream(PROMPT)) == ["Hel", "lo", ANSWER]


def test_one_call_too_many_is_refused() -> None:
    models = models_of()
    streams = [models.stream(PROMPT) for _ in range(2)]
    for stream in streams:
        next(stream)
    with pytest.raises(ProviderError, match="busy"):
        models.answer(PROMPT)
    for stream in streams:
        stream.close()
    assert models.answer(PROMPT) == ANSWER


def test_a_slow_provider_times_out_and_keeps_its_slot() -> None:
    go_on = Event()

    def wait() -> Iterator[str | Answer]:
        go_on.wait(60)
        yield ANSWER

    models = models_of(wait, LLM_TIMEOUT=0.01)
    with pytest.raises(ProviderError, match="timeout"):
        models.answer(PROMPT)
    assert free_slots(models) == 1
    go_on.set()
    models.pool.shutdown()
    assert free_slots(models) == 2


def test_closing_a_stream_closes_the_provider() -> None:
    models = models_of()
    stream = models.stream(PROMPT)
    assert next(stream) == "Hel"
    provider: Any = models.providers["scripted"]
    assert not provider.closed.is_set()
    stream.close()
    assert provider.closed.is_set()
    assert free_slots(models) == 2


def test_a_failure_frees_its_slot() -> None:
    def fail() -> Iterator[str | Answer]:
        yield "Hel"
        raise KeyError("garbage")

    models = models_of(fail)
    for _ in range(5):
        with pytest.raises(ProviderError, match="unavailable"):
            list(models.stream(PROMPT))
    assert free_slots(models) == 2


def test_a_content_filter_is_an_answer() -> None:
    def block() -> Iterator[str | Answer]:
        raise ProviderError("content_filter")
        yield

    found = models_of(block).answer(PROMPT)
    assert (found.reply, found.stop_reason) == ("", "content_filter")


def test_prompts_are_logged_only_when_asked_for(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    models_of().answer(PROMPT)
    assert "language model called" in caplog.text
    assert "secret question" not in caplog.text
    models_of(LLM_LOG_PROMPTS=True).answer(PROMPT)
    assert "secret question" in caplog.text


def test_more_than_is_allowed_or_supported_is_invalid() -> None:
    models = models_of()
    with pytest.raises(Invalid):
        models.answer(Prompt(message="a", max_tokens=101))
    with pytest.raises(Invalid):
        models.answer(Prompt(message="a", stop_sequences=["b"]))


@pytest.mark.parametrize(
    "prompt",
    [
        {},
        {"message": " "},
        {"message": "a", "messages": [{"role": "user", "content": "a"}]},
        {"messages": []},
        {"messages": [{"role": "assistant", "content": "a"}]},
        {"messages": [{"role": "system", "content": "a"}]},
        {"message": "a", "temperature": 1.1},
        {"message": "a", "max_tokens": 0},
        {"message": "a", "stop_sequences": ["a", "b", "c", "d", "e"]},
    ],
)
def test_prompts_out_of_bounds(prompt: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Prompt.model_validate(prompt)


@pytest.mark.parametrize(
    ("status", "code", "message", "reason"),
    [
        (400, "context_length_exceeded", "", "prompt_too_long"),
        (400, "", "This model's maximum context length is 8192 tokens.", "prompt_too_long"),
        (400, "ValidationException", "Input is too long for requested model.", "prompt_too_long"),
        (400, "ValidationException", "prompt is too long: 9 tokens > 8 maximum", "prompt_too_long"),
        (413, "", "", "prompt_too_long"),
        (400, "", "The provided model identifier is invalid.", "rejected"),
        (404, "model_not_found", "", "rejected"),
        (401, "invalid_api_key", "", "credentials"),
        (403, "AccessDeniedException", "", "credentials"),
        (408, "ModelTimeoutException", "", "timeout"),
        (500, "", "too long", "unavailable"),
    ],
)
def test_statuses_of_providers(status: int, code: str, message: str, reason: str) -> None:
    assert from_status(status, code, message).reason == reason


@pytest.mark.parametrize(("given", "seconds"), [("7", 7), ("", 5), ("soon", 5), ("99999999", 3600)])
def test_retry_after_is_passed_on(given: str, seconds: int) -> None:
    assert from_status(429, retry_after=given).retry_after == seconds


def test_the_default_leaves_threads_for_other_requests(app: Flask) -> None:
    assert app.config["LLM_CONCURRENCY"] < 4  # the default of WEB_THREADS
# {% if "celery" in components %}


def test_a_prompt_runs_as_a_job(
    app: Flask, client: FlaskClient, work: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.extensions, "llm", models_of())
    body = {"kind": "llm.chat", "input": {"message": "Hi"}}
    location = client.post("/api/v1/jobs", json=body).headers["Location"]
    work()
    job = client.get(location).get_json()
    assert (job["state"], job["result"]) == ("SUCCESS", ANSWER.model_dump())


@pytest.mark.parametrize(
    ("reason", "expected"), [("throttled", ProviderError), ("prompt_too_long", JobError)]
)
def test_only_what_may_pass_is_tried_again(
    app: Flask,
    monkeypatch: pytest.MonkeyPatch,
    reason: str,
    expected: type[Exception],
) -> None:
    def fail() -> Iterator[str | Answer]:
        raise ProviderError(reason)
        yield

    monkeypatch.setitem(app.extensions, "llm", models_of(fail))
    with app.app_context(), pytest.raises(expected):
        chat(Prompt(message="Hi"))
# {% endif %}
# {% if "socketio" in components %}


def receive(client: Any, count: int) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    end = monotonic() + 30
    while len(found) < count and monotonic() < end:
        found += [(event["name"], event["args"][0]) for event in client.get_received()]
        sleep(0.01)
    return found


def test_tokens_come_as_events(
    app: Flask, connect: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.extensions, "llm", models_of())
    client = connect()
    acknowledged = client.emit("ask", {"id": "1", "message": "Hi"}, callback=True)
    assert acknowledged == {"id": "1"}
    assert receive(client, 3) == [
        ("token", {"id": "1", "text": "Hel"}),
        ("token", {"id": "1", "text": "lo"}),
        ("answer", {"id": "1", **ANSWER.model_dump(exclude={"reply"})}),
    ]


def test_a_failure_comes_as_an_event(
    app: Flask, connect: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Iterator[str | Answer]:
        yield "Hel"
        raise ProviderError("throttled")

    monkeypatch.setitem(app.extensions, "llm", models_of(fail))
    client = connect()
    client.emit("ask", {"id": "1", "message": "Hi"})
    (_, _), (name, problem) = receive(client, 2)
    assert (name, problem["id"], problem["status"]) == ("error", "1", 503)
# {% endif %}
