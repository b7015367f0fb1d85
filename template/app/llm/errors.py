"""Failures of language models, and the responses to clients."""

import re

from flask import Response

from app.errors import field_error, problem, unavailable

#: Reason → detail for the client. ``not_configured`` comes with its own.
DETAILS = {
    "busy": "Too many requests to language models are running. Try again soon.",
    "content_filter": "The provider's content filter blocked the request.",
    "credentials": "The language model is unavailable.",
    "prompt_too_long": "The prompt is too long for the model.",
    "rejected": "The language model is unavailable.",
    "throttled": "The language model is overloaded. Try again soon.",
    "timeout": "The language model took too long.",
    "unavailable": "The language model is unavailable. Try again soon.",
}
#: Reasons that only the owner of the service can fix.
FAULTS = {"credentials", "not_configured", "rejected"}
TOO_LONG = re.compile(
    r"too long|context.?(length|window)|too many (input )?tokens|maximum.{0,30}tokens",
    re.IGNORECASE,
)
RETRY_AFTER, MAX_RETRY_AFTER = 5, 3600  # seconds; the first if the provider doesn't say


class ProviderError(Exception):
    """The provider did not answer.

    Args:
        reason: a key of ``DETAILS``, or ``not_configured``.
        detail: the text for the client.
        retry_after: seconds after which the client may try again.
    """

    def __init__(
        self, reason: str, detail: str | None = None, retry_after: int = RETRY_AFTER
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail or DETAILS[reason]
        self.retry_after = retry_after


def from_status(
    status: int, code: str = "", message: str = "", retry_after: str = ""
) -> ProviderError:
    """Return the error for an HTTP status of a provider, with its error code and message."""
    if status == 429:
        seconds = int(retry_after) if retry_after.isdecimal() else RETRY_AFTER
        return ProviderError("throttled", retry_after=min(seconds, MAX_RETRY_AFTER))
    if status in (401, 403):
        return ProviderError("credentials")
    if status == 413 or (status in (400, 422) and TOO_LONG.search(f"{code} {message}")):
        return ProviderError("prompt_too_long")
    if status in (408, 504):
        return ProviderError("timeout")
    return ProviderError("rejected" if status < 500 else "unavailable")


def to_problem(error: ProviderError) -> Response:
    if error.reason == "prompt_too_long":
        return problem(422, error.detail, errors=[field_error("messages", error.detail)])
    return unavailable(error.detail, error.retry_after)
