"""The kind of job ``llm.chat``, for long prompts."""

from app.celery.execution import JobError
from app.celery.registry import job
from app.errors import Invalid
from app.llm.errors import FAULTS, ProviderError
from app.llm.schemas import Answer, Prompt
from app.llm.service import get_models


@job("llm.chat", retry_for=(ProviderError,))
def chat(prompt: Prompt) -> Answer:
    try:
        return get_models().answer(prompt)
    except Invalid as error:
        raise JobError("invalid", error.errors[0]["detail"]) from None
    except ProviderError as error:
        if error.reason in FAULTS | {"prompt_too_long"}:  # which won't go away by themselves
            raise JobError(error.reason, error.detail) from None
        raise
