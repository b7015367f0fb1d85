"""Errors of the OpenAI API."""

from app.llm.errors import ProviderError, from_status

#: Error codes of content filters.
FILTERED = {
    "bio_policy",
    "content_filter",
    "content_policy_violation",
    "misalignment_policy_violation",
}
#: Codes of errors within a stream, which have no HTTP status. Any other is the server's fault.
STATUSES = {"context_length_exceeded": 400, "rate_limit_exceeded": 429}


def from_code(code: str | None) -> ProviderError:
    """Return the error for a code that came without an HTTP status."""
    if code in FILTERED:
        return ProviderError("content_filter")
    return from_status(STATUSES.get(code or "", 503), code or "")


def explain(error: Exception) -> ProviderError:
    """Return the error for an exception of the client."""
    import openai

    match error:
        case openai.APIStatusError() if error.code not in FILTERED:
            retry_after = error.response.headers.get("retry-after", "")
            return from_status(error.status_code, error.code or "", error.message, retry_after)
        case openai.APITimeoutError():
            return ProviderError("timeout")
        case openai.APIError():
            return from_code(error.code)
    return ProviderError("unavailable")
