"""Chat through boto3, over HTTP, with a scripted server in the place of Amazon Bedrock."""

import json
import os
import re
from binascii import crc32
from collections.abc import Callable
from struct import pack
from threading import active_count
from time import sleep
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import BaseModel
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from app.bedrock.provider import BedrockProvider
from app.llm import Prompt
from app.llm.service import LanguageModels

CHAT = "/api/v1/bedrock/chat"
CONVERSE, STREAM = "/model/nova-test/converse", "/model/nova-test/converse-stream"
TOKENS = {"inputTokens": 7, "outputTokens": 2, "totalTokens": 9}
USAGE = {"input_tokens": 7, "output_tokens": 2}
ERROR = "secret-detail"


@pytest.fixture(scope="module")
def providers() -> dict[str, BedrockProvider]:
    """Those that were made already: a client takes time to make."""
    return {}


@pytest.fixture
def configure(
    app: Flask,
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    providers: dict[str, BedrockProvider],
) -> Callable[..., None]:
    """Have the application use the scripted server."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def configure(**settings: object) -> None:
        given = {
            "AWS_REGION": "eu-west-1",
            "BEDROCK_ENDPOINT_URL": httpserver.url_for("/").rstrip("/"),
            "BEDROCK_MODEL_ID": "nova-test",
            "LLM_MAX_ATTEMPTS": 1,
            "LLM_READ_TIMEOUT": 30,
        }
        models = LanguageModels(app.config | given | settings)
        provider = providers.setdefault(str(settings), BedrockProvider(models.config))
        models.providers["bedrock"] = provider
        monkeypatch.setitem(app.extensions, "llm", models)

    configure()
    return configure


def converse_answer(text: str, stop: str = "end_turn") -> dict[str, Any]:
    message = {"role": "assistant", "content": [{"text": text}]}
    return {"output": {"message": message}, "stopReason": stop, "usage": TOKENS}


def encode(name: str, event: object, kind: str = "event") -> bytes:
    """A message in Amazon's binary event stream encoding."""
    headers = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    head = b"".join(
        pack("!B", len(key)) + key.encode() + pack("!BH", 7, len(value)) + value.encode()
        for key, value in headers.items()
    )
    body = json.dumps(event).encode()
    prelude = pack("!II", len(head) + len(body) + 16, len(head))
    message = prelude + pack("!I", crc32(prelude)) + head + body
    return message + pack("!I", crc32(message))


def delta(text: str) -> bytes:
    return encode("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})


def stream_of(*messages: bytes) -> Response:
    return Response(messages, mimetype="application/vnd.amazon.eventstream")


def failure(status: int, code: str, message: str = ERROR, **headers: str) -> Response:
    headers |= {"x-amzn-ErrorType": code, "Content-Type": "application/json"}
    return Response(json.dumps({"message": message}), status, headers)


def read_events(body: str) -> list[tuple[str, Any]]:
    blocks = [block.rpartition("data: ") for block in body.strip().split("\n\n")]
    return [(name.removeprefix("event: ").strip(), json.loads(data)) for name, _, data in blocks]


def test_chat(client: FlaskClient, configure: Callable[..., None], httpserver: HTTPServer) -> None:
    configure(BEDROCK_GUARDRAIL_ID="g1", BEDROCK_GUARDRAIL_VERSION="3")
    httpserver.expect_request(CONVERSE, "POST").respond_with_json(converse_answer("Hello"))
    turns = ["user", "user", "assistant", "user"]
    body = {
        "messages": [{"role": role, "content": str(index)} for index, role in enumerate(turns)],
        "system": "Be kind.",
        "max_tokens": 50,
        "temperature": 0.5,
        "stop_sequences": ["."],
    }
    response = client.post(CHAT, json=body)
    assert response.get_json() == {
        "model": "nova-test",
        "stop_reason": "end_turn",
        "usage": USAGE,
        "reply": "Hello",
    }
    request, _ = httpserver.log[0]
    assert "eu-west-1/bedrock" in request.headers["Authorization"]
    assert request.get_json() == {
        "messages": [  # turns of the same role are joined, as the API requires
            {"role": "user", "content": [{"text": "0"}, {"text": "1"}]},
            {"role": "assistant", "content": [{"text": "2"}]},
            {"role": "user", "content": [{"text": "3"}]},
        ],
        "system": [{"text": "Be kind."}],
        "inferenceConfig": {"maxTokens": 50, "temperature": 0.5, "stopSequences": ["."]},
        "guardrailConfig": {"guardrailIdentifier": "g1", "guardrailVersion": "3"},
    }


def test_stream(client: FlaskClient, configure: object, httpserver: HTTPServer) -> None:
    stream = stream_of(
        encode("messageStart", {"role": "assistant"}),
        delta("Hel"),
        delta("lo"),
        encode("contentBlockStop", {"contentBlockIndex": 0}),
        encode("messageStop", {"stopReason": "max_tokens"}),
        encode("metadata", {"usage": TOKENS, "metrics": {"latencyMs": 5}}),
    )
    httpserver.expect_request(STREAM).respond_with_response(stream)
    response = client.post(CHAT, json={"message": "Hi", "stream": True})
    assert response.mimetype == "text/event-stream"
    assert read_events(response.text) == [
        ("", {"text": "Hel"}),
        ("", {"text": "lo"}),
        ("done", {"model": "nova-test", "stop_reason": "max_tokens", "usage": USAGE}),
    ]


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("stop_sequence", "stop_sequence"),
        ("malformed_model_output", "other"),
    ],
)
def test_stop_reasons(
    client: FlaskClient, configure: object, httpserver: HTTPServer, stop: str, expected: str
) -> None:
    httpserver.expect_request(CONVERSE).respond_with_json(converse_answer("Hello", stop))
    assert client.post(CHAT, json={"message": "Hi"}).get_json()["stop_reason"] == expected


def test_structured_output(app: Flask, configure: object, httpserver: HTTPServer) -> None:
    class Size(BaseModel):
        metres: float

    httpserver.expect_request(CONVERSE).respond_with_json(converse_answer('{"metres": 3}'))
    models: LanguageModels = app.extensions["llm"]
    answer = models.answer(Prompt(message="How long?"), "bedrock", schema=Size)
    assert Size.model_validate_json(answer.reply).metres == 3
    sent = httpserver.log[0][0].get_json()["outputConfig"]["textFormat"]
    assert json.loads(sent["structure"]["jsonSchema"]["schema"]) == Size.model_json_schema()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (failure(429, "ThrottlingException", **{"Retry-After": "7"}), 503),
        (failure(400, "ValidationException", "Input is too long for requested model."), 422),
        (failure(400, "ValidationException"), 503),
        (failure(403, "AccessDeniedException"), 503),
        (failure(500, "InternalServerException"), 503),
        (Response("<html>secret-host</html>", 502), 503),
        (Response("<html>secret-host</html>", 200), 503),
        (Response("{}", 200), 503),
        (Response("", 200), 503),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_before_the_first_token(
    client: FlaskClient,
    configure: object,
    httpserver: HTTPServer,
    answer: Response,
    expected: int,
    stream: bool,
) -> None:
    httpserver.expect_request(STREAM if stream else CONVERSE).respond_with_response(answer)
    response = client.post(CHAT, json={"message": "Hi", "stream": stream})
    assert response.status_code == expected
    assert response.mimetype == "application/problem+json"
    assert "secret" not in response.text
    if answer.status_code == 429:
        assert response.headers["Retry-After"] == "7"


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        delta("lo")[:20],
        b"garbage" * 100,
        encode("throttlingException", {"message": ERROR}, "exception"),
        encode("modelStreamErrorException", {"message": ERROR}, "exception"),
    ],
)
def test_a_stream_that_fails_ends_with_an_error(
    client: FlaskClient, configure: object, httpserver: HTTPServer, rest: bytes
) -> None:
    httpserver.expect_request(STREAM).respond_with_response(stream_of(delta("Hel"), rest))
    response = client.post(CHAT, json={"message": "Hi", "stream": True})
    assert response.status_code == 200
    (_, piece), (name, problem) = read_events(response.text)
    assert piece == {"text": "Hel"}
    assert (name, problem["status"]) == ("error", 503)
    assert "secret" not in response.text


def test_a_provider_that_is_down_or_silent(
    client: FlaskClient, configure: Callable[..., None], httpserver: HTTPServer
) -> None:
    configure(BEDROCK_ENDPOINT_URL="http://127.0.0.1:9")
    assert client.post(CHAT, json={"message": "Hi"}).status_code == 503

    def silent(request: Request) -> Response:
        sleep(0.5)
        return Response("{}")

    configure(LLM_READ_TIMEOUT=0.05)
    httpserver.expect_request(CONVERSE).respond_with_handler(silent)
    response = client.post(CHAT, json={"message": "Hi"})
    assert response.status_code == 503
    assert response.get_json()["detail"] == "The language model took too long."


@pytest.mark.parametrize("missing", ["credentials", "region"])
def test_without_configuration_the_detail_says_what_to_set(
    client: FlaskClient,
    configure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    if missing == "credentials":
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        configure(BEDROCK_MODEL_ID="another")
    else:
        configure(AWS_REGION=None, BEDROCK_ENDPOINT_URL=None)
    response = client.post(CHAT, json={"message": "Hi"})
    assert response.status_code == 503
    assert "AWS_REGION" in response.get_json()["detail"]


def test_prompts_are_not_logged(
    client: FlaskClient,
    configure: object,
    httpserver: HTTPServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    httpserver.expect_request(CONVERSE).respond_with_json(converse_answer("Hello"))
    client.post(CHAT, json={"message": "a private matter"})
    assert "language model called" in caplog.text
    assert "private" not in caplog.text


def test_failures_leave_no_threads_and_no_descriptors(
    client: FlaskClient, configure: object, httpserver: HTTPServer
) -> None:
    answers = [
        failure(429, "ThrottlingException"),
        Response("<html>", 502),
        Response("garbage", 200),
        stream_of(delta("Hel")),
    ]

    def fail_in_turn() -> None:
        for number in range(40):
            httpserver.clear()
            answer = answers[number // 2 % len(answers)]
            httpserver.expect_request(re.compile("/model/")).respond_with_response(answer)
            body = {"message": "Hi", "stream": number % 2 == 1}
            response = client.post(CHAT, json=body)
            assert response.status_code == 503 or "event: error" in response.text
            response.close()

    fail_in_turn()  # starts the threads that stay
    threads, files = active_count(), len(os.listdir("/dev/fd"))
    fail_in_turn()
    assert active_count() <= threads
    assert len(os.listdir("/dev/fd")) <= files + 2
