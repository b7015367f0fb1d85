"""What every provider must do, through its real client and a scripted HTTP server."""

import json
import os
# {% if "bedrock" in components %}
from binascii import crc32
# {% endif %}
from collections.abc import Callable, Mapping
# {% if "bedrock" in components %}
from struct import pack
# {% endif %}
from threading import active_count
from time import sleep
from typing import Any

import pytest
from flask.testing import FlaskClient
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

USAGE = {"input_tokens": 7, "output_tokens": 2}
SECRET = "secret-detail"
# {% if "bedrock" in components %}


class Bedrock:
    """The Converse API of Amazon Bedrock."""

    name, model = "bedrock", "nova-test"
    settings: Mapping[str, object] = {}
    unreachable: Mapping[str, object] = {"BEDROCK_ENDPOINT_URL": "http://127.0.0.1:9"}
    too_long = ("ValidationException", "Input is too long for requested model.")
    usage: Mapping[str, int] = {"inputTokens": 7, "outputTokens": 2, "totalTokens": 9}

    def path(self, stream: bool) -> str:
        return f"/model/nova-test/converse{'-stream' if stream else ''}"

    def whole(self) -> Response:
        message = {"role": "assistant", "content": [{"text": "Hello"}]}
        body = {"output": {"message": message}, "stopReason": "end_turn", "usage": self.usage}
        return Response(json.dumps(body))

    def stream(self, *messages: bytes) -> Response:
        return Response(messages, mimetype="application/vnd.amazon.eventstream")

    def piece(self, text: str) -> bytes:
        return self.encode("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})

    def end(self) -> bytes:
        metadata = {"usage": self.usage, "metrics": {"latencyMs": 5}}
        stop = self.encode("messageStop", {"stopReason": "end_turn"})
        return stop + self.encode("metadata", metadata)

    def broken_ends(self) -> list[bytes]:
        return [
            b"",
            self.piece("lo")[:20],
            b"garbage" * 100,
            self.encode("throttlingException", {"message": SECRET}, "exception"),
            self.encode("modelStreamErrorException", {"message": SECRET}, "exception"),
        ]

    def failure(self, status: int, code: str, message: str = SECRET) -> Response:
        headers = {"x-amzn-ErrorType": code, "Retry-After": "7"}
        return Response(json.dumps({"message": message}), status, headers)

    def encode(self, name: str, event: object, kind: str = "event") -> bytes:
        """Return a message in Amazon's binary event stream encoding."""
        headers = {f":{kind}-type": name, ":content-type": "application/json"}
        head = b"".join(
            pack("!B", len(key)) + key.encode() + pack("!BH", 7, len(value)) + value.encode()
            for key, value in (headers | {":message-type": kind}).items()
        )
        body = json.dumps(event).encode()
        prelude = pack("!II", len(head) + len(body) + 16, len(head))
        message = prelude + pack("!I", crc32(prelude)) + head + body
        return message + pack("!I", crc32(message))
# {% endif %}
# {% if "openai" in components %}


class Responses:
    """OpenAI's Responses API."""

    name, model = "openai", "gpt-test"
    settings: Mapping[str, object] = {"OPENAI_API": "responses"}
    unreachable: Mapping[str, object] = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    too_long = ("context_length_exceeded", SECRET)
    response: Mapping[str, object] = {
        "model": "gpt-test",
        "status": "completed",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}],
        "usage": USAGE,
    }

    def path(self, stream: bool) -> str:
        return "/v1/responses"

    def whole(self) -> Response:
        return Response(json.dumps({"object": "response", **self.response}), mimetype="text/json")

    def stream(self, *events: bytes) -> Response:
        return Response(events, mimetype="text/event-stream")

    def piece(self, text: str) -> bytes:
        return self.encode({"type": "response.output_text.delta", "delta": text})

    def end(self) -> bytes:
        return self.encode({"type": "response.completed", "response": self.response})

    def broken_ends(self) -> list[bytes]:
        error = {"code": "server_error", "message": SECRET}
        failed = {**self.response, "status": "failed", "error": error}
        return [
            b"",
            self.piece("lo")[:20],
            b"data: garbage\n\n",
            self.encode({"type": "error", **error}),
            self.encode({"error": error}),
            self.encode({"type": "response.failed", "response": failed}),
        ]

    def failure(self, status: int, code: str, message: str = SECRET) -> Response:
        error = {"code": code, "message": message, "type": "t", "param": None}
        return Response(json.dumps({"error": error}), status, {"Retry-After": "7"})

    def encode(self, event: object) -> bytes:
        return b"data: %b\n\n" % json.dumps(event).encode()


class ChatCompletions(Responses):
    """OpenAI's Chat Completions API."""

    settings: Mapping[str, object] = {"OPENAI_API": "chat"}
    usage: Mapping[str, int] = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}

    def path(self, stream: bool) -> str:
        return "/v1/chat/completions"

    def whole(self) -> Response:
        message = {"role": "assistant", "content": "Hello"}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        body = {"model": "gpt-test", "choices": [choice], "usage": self.usage}
        return Response(json.dumps(body), mimetype="text/json")

    def piece(self, text: str, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
        return self.encode({"model": "gpt-test", "choices": [choice]})

    def end(self) -> bytes:
        usage = self.encode({"model": "gpt-test", "choices": [], "usage": self.usage})
        return self.piece("", "stop") + usage + b"data: [DONE]\n\n"

    def broken_ends(self) -> list[bytes]:
        error = {"code": "server_error", "message": SECRET}
        return [b"", self.piece("lo")[:20], b"data: garbage\n\n", self.encode({"error": error})]
# {% endif %}


Use = Callable[..., None]
# {% if "bedrock" in components and "openai" in components %}
Api = Bedrock | Responses
APIS: list[Api] = [Bedrock(), Responses(), ChatCompletions()]
# {% elif "bedrock" in components %}
Api = Bedrock
APIS: list[Api] = [Bedrock()]
# {% else %}
Api = Responses
APIS: list[Api] = [Responses(), ChatCompletions()]
# {% endif %}


@pytest.fixture(params=APIS, ids=lambda api: type(api).__name__)
def api(request: pytest.FixtureRequest, use_provider: Use) -> Api:
    """Have the application use an API of a provider; every test runs for each of them."""
    api: Api = request.param
    use_provider(api.name, **api.settings)
    return api


def ask(client: FlaskClient, api: Api, stream: bool = False) -> Any:
    return client.post(f"/api/v1/{api.name}/chat", json={"message": "private", "stream": stream})


def read_events(body: str) -> list[tuple[str, Any]]:
    blocks = [block.rpartition("data: ") for block in body.strip().split("\n\n")]
    return [(name.removeprefix("event: ").strip(), json.loads(data)) for name, _, data in blocks]


def test_chat(client: FlaskClient, api: Api, httpserver: HTTPServer) -> None:
    httpserver.expect_request(api.path(stream=False)).respond_with_response(api.whole())
    assert ask(client, api).get_json() == {
        "model": api.model,
        "stop_reason": "end_turn",
        "usage": USAGE,
        "reply": "Hello",
    }


def test_stream(client: FlaskClient, api: Api, httpserver: HTTPServer) -> None:
    answer = api.stream(api.piece("Hel"), api.piece("lo"), api.end())
    httpserver.expect_request(api.path(stream=True)).respond_with_response(answer)
    response = ask(client, api, stream=True)
    assert response.mimetype == "text/event-stream"
    assert read_events(response.text) == [
        ("", {"text": "Hel"}),
        ("", {"text": "lo"}),
        ("done", {"model": api.model, "stop_reason": "end_turn", "usage": USAGE}),
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_errors_before_the_first_token(
    client: FlaskClient, api: Api, httpserver: HTTPServer, stream: bool
) -> None:
    for answer, expected in (
        (api.failure(429, "ThrottlingException"), 503),
        (api.failure(400, *api.too_long), 422),
        (api.failure(400, "ValidationException"), 503),
        (api.failure(401, "invalid_api_key"), 503),
        (api.failure(403, "AccessDeniedException"), 503),
        (api.failure(404, "model_not_found"), 503),
        (api.failure(500, "InternalServerException"), 503),
        (Response("<html>secret-host</html>", 502), 503),
        (Response("<html>secret-host</html>", 200, mimetype="text/html"), 503),
        (Response('{"a": ', 200, mimetype="application/json"), 503),
        (Response("{}", 200, mimetype="application/json"), 503),
        (Response("[]", 200, mimetype="application/json"), 503),
        (Response("", 200), 503),
    ):
        httpserver.expect_oneshot_request(api.path(stream)).respond_with_response(answer)
        response = ask(client, api, stream)
        assert response.status_code == expected, (answer.status, answer.data)
        assert response.mimetype == "application/problem+json"
        assert "secret" not in response.text
        if answer.status_code == 429:
            assert response.headers["Retry-After"] == "7"


def test_a_stream_that_fails_ends_with_an_error(
    client: FlaskClient, api: Api, httpserver: HTTPServer
) -> None:
    for rest in api.broken_ends():
        answer = api.stream(api.piece("Hel"), rest)
        httpserver.expect_oneshot_request(api.path(stream=True)).respond_with_response(answer)
        response = ask(client, api, stream=True)
        assert response.status_code == 200
        (_, piece), (name, problem) = read_events(response.text)
        assert piece == {"text": "Hel"}
        assert (name, problem["status"]) == ("error", 503), rest
        assert "secret" not in response.text


def test_a_provider_that_is_down_or_silent_is_503(
    client: FlaskClient, api: Api, httpserver: HTTPServer, use_provider: Use
) -> None:
    use_provider(api.name, **api.settings, **api.unreachable)
    assert ask(client, api).status_code == 503

    def silent(request: Request) -> Response:
        sleep(0.5)
        return Response("{}")

    use_provider(api.name, **api.settings, LLM_READ_TIMEOUT=0.05)
    httpserver.expect_request(api.path(stream=False)).respond_with_handler(silent)
    response = ask(client, api)
    assert response.status_code == 503
    assert response.get_json()["detail"] == "The language model took too long."


def test_neither_prompts_nor_keys_are_logged(
    client: FlaskClient, api: Api, httpserver: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    httpserver.expect_request(api.path(stream=False)).respond_with_response(api.whole())
    ask(client, api)
    assert "language model called" in caplog.text
    assert "private" not in caplog.text
    assert "secret-key" not in caplog.text


def test_failures_leave_no_threads_and_no_descriptors(
    client: FlaskClient, api: Api, httpserver: HTTPServer
) -> None:
    answers = [
        api.failure(429, "ThrottlingException"),
        Response("<html>", 502),
        Response("garbage", 200, mimetype="application/json"),
        api.stream(api.piece("Hel")),
    ]

    def fail_in_turn() -> None:
        for number in range(40):
            httpserver.clear()
            stream = number % 2 == 1
            answer = answers[number // 2 % len(answers)]
            httpserver.expect_request(api.path(stream)).respond_with_response(answer)
            response = ask(client, api, stream)
            assert response.status_code == 503 or "event: error" in response.text
            response.close()

    fail_in_turn()  # starts the threads that stay
    threads, files = active_count(), len(os.listdir("/dev/fd"))
    fail_in_turn()
    assert active_count() <= threads
    assert len(os.listdir("/dev/fd")) <= files + 2
