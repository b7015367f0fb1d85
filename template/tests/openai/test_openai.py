"""What is particular to the OpenAI API; ``tests/llm`` tests what all providers must do."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from pytest_httpserver import HTTPServer

CHAT, EXTRACT = "/api/v1/openai/chat", "/api/v1/openai/extract"
RESPONSES, COMPLETIONS = "/v1/responses", "/v1/chat/completions"


@pytest.fixture(autouse=True)
def configure(use_provider: Callable[..., None]) -> Callable[..., None]:
    """Have the application use the scripted server, with the Responses API at first."""
    use_provider("openai")
    return lambda **settings: use_provider("openai", **settings)


def response_of(text: str, status: str = "completed", **fields: object) -> dict[str, Any]:
    """An answer of the Responses API."""
    content = {"type": "output_text", "text": text}
    usage = {"input_tokens": 7, "output_tokens": 2}
    answer = {"object": "response", "model": "gpt-test", "status": status, "usage": usage}
    return {**answer, "output": [{"type": "message", "content": [content]}], **fields}


def completion_of(finish: str, **message: object) -> dict[str, Any]:
    """An answer of the Chat Completions API."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    return {"model": "gpt-test", "choices": [choice], "usage": usage}


CUT = response_of("Hel", "incomplete", incomplete_details={"reason": "max_output_tokens"})
REFUSAL = [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]


def test_a_request_has_what_was_asked_for(client: FlaskClient, httpserver: HTTPServer) -> None:
    httpserver.expect_request(RESPONSES, "POST").respond_with_json(response_of("Hello"))
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "Well?"},
    ]
    body = {"messages": messages, "system": "Be kind.", "max_tokens": 50, "temperature": 0.5}
    assert client.post(CHAT, json=body).get_json()["reply"] == "Hello"
    request, _ = httpserver.log[0]
    assert request.headers["Authorization"] == "Bearer secret-key"
    assert request.get_json() == {
        "model": "gpt-test",
        "input": messages,
        "instructions": "Be kind.",
        "max_output_tokens": 50,
        "temperature": 0.5,
        "store": False,
        "stream": False,
    }


@pytest.mark.parametrize(
    ("answer", "reply", "stop"),
    [
        (CUT, "Hel", "max_tokens"),
        (
            response_of("", "incomplete", incomplete_details={"reason": "content_filter"}),
            "",
            "content_filter",
        ),
        (response_of("", output=REFUSAL), "No.", "refusal"),
    ],
)
def test_stop_reasons(
    client: FlaskClient, httpserver: HTTPServer, answer: dict[str, Any], reply: str, stop: str
) -> None:
    httpserver.expect_request(RESPONSES).respond_with_json(answer)
    found = client.post(CHAT, json={"message": "Hi"}).get_json()
    assert (found["reply"], found["stop_reason"]) == (reply, stop)


def test_chat_completions(
    client: FlaskClient, configure: Callable[..., None], httpserver: HTTPServer
) -> None:
    configure(OPENAI_API="chat", OPENAI_API_KEY=None)
    answer = completion_of("length", content="Hello")
    httpserver.expect_request(COMPLETIONS).respond_with_json(answer)
    body = {"message": "Hi", "system": "Be kind.", "stop_sequences": ["."]}
    found = client.post(CHAT, json=body).get_json()
    assert (found["reply"], found["stop_reason"]) == ("Hello", "max_tokens")
    assert httpserver.log[0][0].get_json() == {
        "model": "gpt-test",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hi"},
        ],
        "max_tokens": 4096,
        "stop": ["."],
        "stream": False,
    }


def test_a_stream_of_chat_completions_asks_for_the_usage(
    client: FlaskClient, configure: Callable[..., None], httpserver: HTTPServer
) -> None:
    configure(OPENAI_API="chat")
    httpserver.expect_request(COMPLETIONS).respond_with_data("", content_type="text/event-stream")
    client.post(CHAT, json={"message": "Hi", "stream": True})
    assert httpserver.log[0][0].get_json()["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("api", ["responses", "chat"])
def test_extract(
    client: FlaskClient, configure: Callable[..., None], httpserver: HTTPServer, api: str
) -> None:
    configure(OPENAI_API=api)
    event = {"title": "Lunch", "date": None, "participants": ["Ann", "Bob"]}
    text = json.dumps(event)
    answer = response_of(text) if api == "responses" else completion_of("stop", content=text)
    httpserver.expect_request(RESPONSES).respond_with_json(answer)
    httpserver.expect_request(COMPLETIONS).respond_with_json(answer)
    response = client.post(EXTRACT, json={"text": "Ann and Bob have lunch."})
    assert response.get_json()["event"] == event
    sent = httpserver.log[0][0].get_json()
    shape = sent["text"]["format"] if api == "responses" else sent["response_format"]["json_schema"]
    assert (shape["strict"], shape["schema"]["additionalProperties"]) == (True, False)


def test_what_cannot_be_extracted(client: FlaskClient, httpserver: HTTPServer) -> None:
    httpserver.expect_oneshot_request(RESPONSES).respond_with_json(response_of('{"title": 1'))
    assert client.post(EXTRACT, json={"text": "a"}).status_code == 503
    httpserver.expect_oneshot_request(RESPONSES).respond_with_json(CUT)
    found = client.post(EXTRACT, json={"text": "a"}).get_json()
    assert (found["event"], found["stop_reason"]) == (None, "max_tokens")


def test_a_filtered_prompt_is_an_answer(client: FlaskClient, httpserver: HTTPServer) -> None:
    error = {"code": "content_filter", "message": "m", "type": "t", "param": None}
    httpserver.expect_request(RESPONSES).respond_with_json({"error": error}, 400)
    found = client.post(CHAT, json={"message": "Hi"}).get_json()
    assert (found["reply"], found["stop_reason"]) == ("", "content_filter")
    response = client.post(CHAT, json={"message": "Hi", "stream": True})
    assert response.text.startswith("event: done\n")


def test_without_a_key_the_detail_says_what_to_set(
    client: FlaskClient, configure: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    configure(OPENAI_API_KEY=None, OPENAI_BASE_URL=None)
    response = client.post(CHAT, json={"message": "Hi"})
    assert response.status_code == 503
    assert "OPENAI_API_KEY" in response.get_json()["detail"]
    assert any(record.levelname == "ERROR" for record in caplog.records)


def test_stop_sequences_need_chat_completions(client: FlaskClient) -> None:
    response = client.post(CHAT, json={"message": "Hi", "stop_sequences": ["."]})
    assert response.status_code == 422
    assert response.get_json()["errors"][0]["field"] == "stop_sequences"
