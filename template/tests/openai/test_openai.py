"""Chat through the real OpenAI client, over HTTP, with a scripted server."""

import json
import os
from collections.abc import Callable, Iterator
from threading import active_count
from time import sleep
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from app.llm.service import LanguageModels
from app.openai.provider import OpenAIProvider

CHAT, EXTRACT = "/api/v1/openai/chat", "/api/v1/openai/extract"
USAGE = {"input_tokens": 7, "output_tokens": 2}


@pytest.fixture(scope="module")
def providers() -> dict[str, OpenAIProvider]:
    """Those that were made already: a client takes time to make."""
    return {}


@pytest.fixture
def configure(
    app: Flask,
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    providers: dict[str, OpenAIProvider],
) -> Callable[..., None]:
    """Have the application use the scripted server."""

    def configure(**settings: object) -> None:
        given = {
            "OPENAI_BASE_URL": httpserver.url_for("/v1"),
            "OPENAI_API_KEY": "sk-secret",
            "OPENAI_MODEL": "gpt-test",
            "LLM_MAX_ATTEMPTS": 1,
            "LLM_READ_TIMEOUT": 30,
        }
        models = LanguageModels(app.config | given | settings)
        provider = providers.setdefault(str(settings), OpenAIProvider(models.config))
        models.providers["openai"] = provider
        monkeypatch.setitem(app.extensions, "llm", models)

    configure()
    return configure


def response_of(text: str, status: str = "completed", **fields: object) -> dict[str, Any]:
    """An answer of the Responses API."""
    content = {"type": "output_text", "text": text, "annotations": []}
    message = {"type": "message", "id": "1", "role": "assistant", "content": [content]}
    return {
        "id": "r",
        "object": "response",
        "model": "gpt-test",
        "status": status,
        "output": [message],
        "usage": USAGE,
        **fields,
    }


def completion_of(finish: str, **message: object) -> dict[str, Any]:
    """An answer of the Chat Completions API."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    return {"id": "c", "model": "gpt-test", "choices": [choice], "usage": usage}


def stream_of(*events: object) -> Response:
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return Response(body, mimetype="text/event-stream")


def delta(text: str) -> dict[str, str]:
    return {"type": "response.output_text.delta", "delta": text}


def read_events(body: str) -> Iterator[tuple[str, Any]]:
    for block in body.strip().split("\n\n"):
        name, _, data = block.rpartition("data: ")
        yield name.removeprefix("event: ").strip(), json.loads(data)


def test_chat(client: FlaskClient, configure: object, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/v1/responses", "POST").respond_with_json(response_of("Hello"))
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "Well?"},
    ]
    body = {"messages": messages, "system": "Be kind.", "max_tokens": 50, "temperature": 0.5}
    response = client.post(CHAT, json=body)
    assert response.get_json() == {
        "model": "gpt-test",
        "stop_reason": "end_turn",
        "usage": USAGE,
        "reply": "Hello",
    }
    request, _ = httpserver.log[0]
    assert request.headers["Authorization"] == "Bearer sk-secret"
    assert request.get_json() == {
        "model": "gpt-test",
        "input": messages,
        "instructions": "Be kind.",
        "max_output_tokens": 50,
        "temperature": 0.5,
        "store": False,
        "stream": False,
    }


def test_stream(client: FlaskClient, configure: object, httpserver: HTTPServer) -> None:
    done = {"type": "response.completed", "response": response_of("Hello")}
    stream = stream_of({"type": "response.created"}, delta("Hel"), delta("lo"), done)
    httpserver.expect_request("/v1/responses").respond_with_response(stream)
    response = client.post(CHAT, json={"message": "Hi", "stream": True})
    assert response.mimetype == "text/event-stream"
    assert list(read_events(response.text)) == [
        ("", {"text": "Hel"}),
        ("", {"text": "lo"}),
        ("done", {"model": "gpt-test", "stop_reason": "end_turn", "usage": USAGE}),
    ]


@pytest.mark.parametrize(
    ("answer", "reply", "stop"),
    [
        (
            response_of("Hel", "incomplete", incomplete_details={"reason": "max_output_tokens"}),
            "Hel",
            "max_tokens",
        ),
        (
            response_of("", "incomplete", incomplete_details={"reason": "content_filter"}),
            "",
            "content_filter",
        ),
        (
            response_of(
                "", output=[{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]
            ),
            "No.",
            "refusal",
        ),
    ],
)
def test_stop_reasons(
    client: FlaskClient,
    configure: object,
    httpserver: HTTPServer,
    answer: dict[str, Any],
    reply: str,
    stop: str,
) -> None:
    httpserver.expect_request("/v1/responses").respond_with_json(answer)
    found = client.post(CHAT, json={"message": "Hi"}).get_json()
    assert (found["reply"], found["stop_reason"]) == (reply, stop)


def test_chat_completions(
    client: FlaskClient, configure: Callable[..., None], httpserver: HTTPServer
) -> None:
    configure(OPENAI_API="chat", OPENAI_API_KEY=None)
    answer = completion_of("length", content="Hello")
    httpserver.expect_request("/v1/chat/completions").respond_with_json(answer)
    body = {"message": "Hi", "system": "Be kind.", "stop_sequences": ["."]}
    found = client.post(CHAT, json=body).get_json()
    assert (found["reply"], found["stop_reason"], found["usage"]) == ("Hello", "max_tokens", USAGE)
    sent = httpserver.log[0][0].get_json()
    assert sent["stop"] == ["."]
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]


def test_chat_completions_stream(
    client: FlaskClient, configure: Callable[..., None], httpserver: HTTPServer
) -> None:
    configure(OPENAI_API="chat")

    def chunk(finish: str | None, **delta: str) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "c", "model": "gpt-test", "choices": [choice]}

    last = completion_of("stop") | {"choices": []}
    stream = stream_of(chunk(None, content="Hel"), chunk(None, content="lo"), chunk("stop"), last)
    httpserver.expect_request("/v1/chat/completions").respond_with_response(stream)
    response = client.post(CHAT, json={"message": "Hi", "stream": True})
    *pieces, (name, done) = read_events(response.text)
    assert [piece["text"] for _, piece in pieces] == ["Hel", "lo"]
    assert (name, done["stop_reason"], done["usage"]) == ("done", "end_turn", USAGE)
    assert httpserver.log[0][0].get_json()["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("api", ["responses", "chat"])
def test_extract(
    client: FlaskClient, configure: Callable[..., None], httpserver: HTTPServer, api: str
) -> None:
    configure(OPENAI_API=api)
    event = {"title": "Lunch", "date": None, "participants": ["Ann", "Bob"]}
    text = json.dumps(event)
    answer = response_of(text) if api == "responses" else completion_of("stop", content=text)
    httpserver.expect_request("/v1/responses").respond_with_json(answer)
    httpserver.expect_request("/v1/chat/completions").respond_with_json(answer)
    response = client.post(EXTRACT, json={"text": "Ann and Bob have lunch."})
    assert response.get_json()["event"] == event
    sent = httpserver.log[0][0].get_json()
    shape = sent["text"]["format"] if api == "responses" else sent["response_format"]["json_schema"]
    assert (shape["strict"], shape["schema"]["additionalProperties"]) == (True, False)


def test_what_cannot_be_extracted(
    client: FlaskClient, configure: object, httpserver: HTTPServer
) -> None:
    httpserver.expect_oneshot_request("/v1/responses").respond_with_json(response_of('{"title": 1'))
    assert client.post(EXTRACT, json={"text": "a"}).status_code == 503
    cut = response_of("", "incomplete", incomplete_details={"reason": "max_output_tokens"})
    httpserver.expect_oneshot_request("/v1/responses").respond_with_json(cut)
    found = client.post(EXTRACT, json={"text": "a"}).get_json()
    assert (found["event"], found["stop_reason"]) == (None, "max_tokens")


def error(code: str, message: str = "secret-detail") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "type": "t", "param": None}}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Response(json.dumps(error("rate_limit_exceeded")), 429, {"Retry-After": "7"}), 503),
        (Response(json.dumps(error("context_length_exceeded")), 400), 422),
        (Response(json.dumps(error("invalid_api_key")), 401), 503),
        (Response(json.dumps(error("model_not_found")), 404), 503),
        (Response("<html>secret-host</html>", 502), 503),
        (Response("<html>secret-host</html>", 200, mimetype="text/html"), 503),
        (Response('{"a": ', 200, mimetype="application/json"), 503),
        (Response("{}", 200, mimetype="application/json"), 503),
        (Response("[]", 200, mimetype="application/json"), 503),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", ["responses", "chat"])
def test_errors_before_the_first_token(
    client: FlaskClient,
    configure: Callable[..., None],
    httpserver: HTTPServer,
    answer: Response,
    expected: int,
    stream: bool,
    api: str,
) -> None:
    configure(OPENAI_API=api)
    httpserver.expect_request("/v1/responses").respond_with_response(answer)
    httpserver.expect_request("/v1/chat/completions").respond_with_response(answer)
    response = client.post(CHAT, json={"message": "Hi", "stream": stream})
    assert response.status_code == expected
    assert response.mimetype == "application/problem+json"
    assert "secret" not in response.text
    if answer.status_code == 429:
        assert response.headers["Retry-After"] == "7"


def test_a_filtered_prompt_is_an_answer(
    client: FlaskClient, configure: object, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/v1/responses").respond_with_json(error("content_filter"), 400)
    found = client.post(CHAT, json={"message": "Hi"}).get_json()
    assert (found["reply"], found["stop_reason"]) == ("", "content_filter")
    response = client.post(CHAT, json={"message": "Hi", "stream": True})
    assert [name for name, _ in read_events(response.text)] == ["done"]


def test_a_stream_that_breaks_off_ends_with_an_error(
    client: FlaskClient, configure: object, httpserver: HTTPServer
) -> None:
    stream = stream_of(delta("Hel"))
    httpserver.expect_request("/v1/responses").respond_with_response(stream)
    response = client.post(CHAT, json={"message": "Hi", "stream": True})
    assert response.status_code == 200
    (_, piece), (name, problem) = read_events(response.text)
    assert piece == {"text": "Hel"}
    assert (name, problem["status"]) == ("error", 503)


def test_a_provider_that_is_down_or_silent(
    client: FlaskClient, configure: Callable[..., None], httpserver: HTTPServer
) -> None:
    configure(OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    assert client.post(CHAT, json={"message": "Hi"}).status_code == 503
    configure(LLM_READ_TIMEOUT=0.05)
    httpserver.expect_request("/v1/responses").respond_with_handler(silent)
    response = client.post(CHAT, json={"message": "Hi"})
    assert response.status_code == 503
    assert response.get_json()["detail"] == "The language model took too long."


def silent(request: Request) -> Response:
    sleep(0.5)
    return Response("{}")


def test_without_a_key_the_detail_says_what_to_set(
    client: FlaskClient, configure: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    configure(OPENAI_API_KEY=None, OPENAI_BASE_URL=None)
    response = client.post(CHAT, json={"message": "Hi"})
    assert response.status_code == 503
    assert "OPENAI_API_KEY" in response.get_json()["detail"]
    assert any(record.levelname == "ERROR" for record in caplog.records)


def test_neither_prompts_nor_keys_are_logged(
    client: FlaskClient,
    configure: object,
    httpserver: HTTPServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    httpserver.expect_request("/v1/responses").respond_with_json(response_of("Hello"))
    client.post(CHAT, json={"message": "a private matter"})
    assert "language model called" in caplog.text
    assert "private" not in caplog.text
    assert "sk-secret" not in caplog.text


def test_stop_sequences_need_chat_completions(client: FlaskClient, configure: object) -> None:
    response = client.post(CHAT, json={"message": "Hi", "stop_sequences": ["."]})
    assert response.status_code == 422
    assert response.get_json()["errors"][0]["field"] == "stop_sequences"


def test_failures_leave_no_threads_and_no_descriptors(
    client: FlaskClient, configure: object, httpserver: HTTPServer
) -> None:
    answers = [
        Response("{}", 429),
        Response("<html>", 502),
        Response("garbage", 200, mimetype="application/json"),
        stream_of(delta("Hel")),
    ]

    def fail_in_turn() -> None:
        for number in range(40):
            httpserver.clear()
            answer = answers[number // 2 % len(answers)]
            httpserver.expect_request("/v1/responses").respond_with_response(answer)
            body = {"message": "Hi", "stream": number % 2 == 1}
            response = client.post(CHAT, json=body)
            assert response.status_code == 503 or "event: error" in response.text
            response.close()

    fail_in_turn()  # starts the threads that stay
    threads, files = active_count(), len(os.listdir("/dev/fd"))
    fail_in_turn()
    assert active_count() <= threads
    assert len(os.listdir("/dev/fd")) <= files + 2
