"""What is particular to Amazon Bedrock; ``tests/llm`` tests what all providers must do."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import BaseModel
from pytest_httpserver import HTTPServer

from app.llm.schemas import Prompt
from app.llm.service import get_models

CHAT, CONVERSE = "/api/v1/bedrock/chat", "/model/nova-test/converse"


def converse_answer(text: str, stop: str = "end_turn") -> dict[str, Any]:
    message = {"role": "assistant", "content": [{"text": text}]}
    usage = {"inputTokens": 7, "outputTokens": 2, "totalTokens": 9}
    return {"output": {"message": message}, "stopReason": stop, "usage": usage}


def test_a_request_has_what_was_asked_for(
    client: FlaskClient, use_provider: Callable[..., None], httpserver: HTTPServer
) -> None:
    use_provider("bedrock", BEDROCK_GUARDRAIL_ID="g1", BEDROCK_GUARDRAIL_VERSION="3")
    httpserver.expect_request(CONVERSE, "POST").respond_with_json(converse_answer("Hello"))
    turns = ["user", "user", "assistant", "user"]
    body = {
        "messages": [{"role": role, "content": str(index)} for index, role in enumerate(turns)],
        "system": "Be kind.",
        "max_tokens": 50,
        "temperature": 0.5,
        "stop_sequences": ["."],
    }
    assert client.post(CHAT, json=body).get_json()["reply"] == "Hello"
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


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("max_tokens", "max_tokens"),
        ("stop_sequence", "stop_sequence"),
        ("malformed_model_output", "other"),
    ],
)
def test_stop_reasons(
    client: FlaskClient,
    use_provider: Callable[..., None],
    httpserver: HTTPServer,
    stop: str,
    expected: str,
) -> None:
    use_provider("bedrock")
    httpserver.expect_request(CONVERSE).respond_with_json(converse_answer("Hello", stop))
    assert client.post(CHAT, json={"message": "Hi"}).get_json()["stop_reason"] == expected


def test_structured_output(
    app: Flask, use_provider: Callable[..., None], httpserver: HTTPServer
) -> None:
    class Size(BaseModel):
        metres: float

    use_provider("bedrock")
    httpserver.expect_request(CONVERSE).respond_with_json(converse_answer('{"metres": 3}'))
    with app.app_context():
        answer = get_models().answer(Prompt(message="How long?"), "bedrock", schema=Size)
    assert Size.model_validate_json(answer.reply).metres == 3
    sent = httpserver.log[0][0].get_json()["outputConfig"]["textFormat"]
    assert json.loads(sent["structure"]["jsonSchema"]["schema"]) == Size.model_json_schema()


@pytest.mark.parametrize("missing", ["credentials", "region"])
def test_without_configuration_the_detail_says_what_to_set(
    client: FlaskClient,
    use_provider: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    if missing == "credentials":
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        use_provider("bedrock", BEDROCK_MODEL_ID="another")
    else:
        use_provider("bedrock", AWS_REGION=None, BEDROCK_ENDPOINT_URL=None)
    response = client.post(CHAT, json={"message": "Hi"})
    assert response.status_code == 503
    assert "AWS_REGION" in response.get_json()["detail"]
