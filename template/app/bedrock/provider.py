"""The Converse API of Amazon Bedrock through boto3, which is imported at the first request."""

import logging
from collections.abc import Iterable, Mapping
from contextlib import closing
from functools import cached_property
from itertools import groupby
from json import dumps
from typing import Any

from pydantic import BaseModel

from app.llm.errors import ProviderError, from_status
from app.llm.schemas import Answer, Prompt, StopReason, Usage
from app.llm.service import Events

STOP_REASONS: dict[str, StopReason] = {
    "content_filtered": "content_filter",
    "end_turn": "end_turn",
    "guardrail_intervened": "content_filter",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "max_tokens",
    "refusal": "refusal",
    "stop_sequence": "stop_sequence",
}
#: Errors within a stream, which have no HTTP status. Any other is the provider's fault.
STREAM_STATUSES = {"throttlingexception": 429, "validationexception": 400}
NOT_CONFIGURED = (
    "Amazon Bedrock is not configured. Set AWS_REGION, and provide credentials for boto3."
)


class BedrockProvider:
    """The model ``BEDROCK_MODEL_ID``. Credentials come from boto3's default chain."""

    name = "bedrock"
    has_stop_sequences = True

    def __init__(self, config: Mapping[str, Any]) -> None:
        logging.getLogger("botocore").setLevel(logging.INFO)  # it logs prompts at DEBUG
        self.config = config
        self.model: str = config["BEDROCK_MODEL_ID"]

    @cached_property
    def client(self) -> Any:
        import boto3.session
        from botocore.config import Config

        config = self.config
        return boto3.session.Session().client(
            "bedrock-runtime",
            region_name=config["AWS_REGION"],
            endpoint_url=config["BEDROCK_ENDPOINT_URL"],
            config=Config(
                connect_timeout=config["LLM_CONNECT_TIMEOUT"],
                read_timeout=config["LLM_READ_TIMEOUT"],
                retries={"mode": "standard", "total_max_attempts": config["LLM_MAX_ATTEMPTS"]},
                max_pool_connections=config["LLM_CONCURRENCY"],
            ),
        )

    def ask(self, prompt: Prompt, schema: type[BaseModel] | None, stream: bool) -> Events:
        request = self.request(prompt)
        if schema:
            shape = {"name": schema.__name__, "schema": dumps(schema.model_json_schema())}
            structure = {"type": "json_schema", "structure": {"jsonSchema": shape}}
            request["outputConfig"] = {"textFormat": structure}
        if stream:
            with closing(self.client.converse_stream(**request)["stream"]) as events:
                yield from self.read_stream(events)
        else:
            response = self.client.converse(**request)
            texts = [block.get("text", "") for block in response["output"]["message"]["content"]]
            yield self.read("".join(texts), response, response)

    def read_stream(self, events: Iterable[dict[str, Any]]) -> Events:
        pieces: list[str] = []
        stop: dict[str, Any] = {}
        for event in events:
            if text := event.get("contentBlockDelta", {}).get("delta", {}).get("text"):
                pieces.append(text)
                yield text
            stop = event.get("messageStop", stop)
            if "metadata" in event:
                yield self.read("".join(pieces), stop, event["metadata"])

    def request(self, prompt: Prompt) -> dict[str, Any]:
        inference = {
            "maxTokens": prompt.max_tokens,
            "temperature": prompt.temperature,
            "stopSequences": prompt.stop_sequences,
        }
        request = {
            "modelId": self.model,
            "messages": [
                {"role": role, "content": [{"text": message.content} for message in turns]}
                for role, turns in groupby(prompt.history(), lambda message: message.role)
            ],
            "inferenceConfig": {k: v for k, v in inference.items() if v not in (None, [])},
        }
        if prompt.system:
            request["system"] = [{"text": prompt.system}]
        if guardrail := self.config["BEDROCK_GUARDRAIL_ID"]:
            request["guardrailConfig"] = {
                "guardrailIdentifier": guardrail,
                "guardrailVersion": self.config["BEDROCK_GUARDRAIL_VERSION"],
            }
        return request

    def read(self, reply: str, stop: Mapping[str, Any], usage: Mapping[str, Any]) -> Answer:
        tokens = usage["usage"]
        return Answer(
            model=self.model,
            stop_reason=STOP_REASONS.get(stop["stopReason"], "other"),
            usage=Usage(input_tokens=tokens["inputTokens"], output_tokens=tokens["outputTokens"]),
            reply=reply,
        )

    def explain(self, error: Exception) -> ProviderError:
        from botocore import exceptions as aws

        match error:
            case aws.EventStreamError():
                fault = error.response["Error"]
                status = STREAM_STATUSES.get(fault["Code"].lower(), 503)
                return from_status(status, fault["Code"], fault.get("Message", ""))
            case aws.ClientError():
                fault, metadata = error.response["Error"], error.response["ResponseMetadata"]
                status, headers = metadata["HTTPStatusCode"], metadata["HTTPHeaders"]
                message = fault.get("Message", "")
                return from_status(status, fault["Code"], message, headers.get("retry-after", ""))
            case aws.NoCredentialsError() | aws.PartialCredentialsError() | aws.NoRegionError():
                return ProviderError("not_configured", NOT_CONFIGURED)
            case aws.ProfileNotFound() | aws.CredentialRetrievalError() | aws.SSOError():
                return ProviderError("credentials")
            case aws.ConnectTimeoutError() | aws.ReadTimeoutError():
                return ProviderError("timeout")
        return ProviderError("unavailable")
