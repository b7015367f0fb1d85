"""Calls of language models: limited in number and time, logged and counted."""

from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from time import monotonic
from typing import Any, Protocol, cast

import structlog
from flask import Flask, current_app
from prometheus_client import Counter, Histogram
from pydantic import BaseModel

from app.errors import Invalid, field_error
from app.llm.errors import FAULTS, ProviderError
from app.llm.schemas import Answer, Prompt, Usage

REQUESTS = Counter("llm_requests_total", "Calls of language models.", ["provider", "outcome"])
TOKENS = Counter("llm_tokens_total", "Tokens read and written.", ["provider", "direction"])
DURATION = Histogram("llm_request_duration_seconds", "Time to a whole answer.", ["provider"])

log = structlog.stdlib.get_logger(__name__)

#: Pieces of the reply as they come, then the whole answer.
Events = Generator[str | Answer, None, None]


class Provider(Protocol):
    """The interface of a provider. Its methods run in a thread, without Flask's context."""

    name: str
    model: str
    has_stop_sequences: bool

    def ask(self, prompt: Prompt, schema: type[BaseModel] | None, stream: bool) -> Events:
        """Yield the answer; with ``stream``, pieces of its reply come before.

        With ``schema``, the reply is JSON of that model. Closing must free the connection.
        """

    def explain(self, error: Exception) -> ProviderError:
        """Translate an exception of the provider's library."""


class LanguageModels:
    """The providers of one application; ``LLM_PROVIDER`` is the default.

    At most ``LLM_CONCURRENCY`` calls run at once in a process, so that a slow provider cannot
    occupy all threads of the server. They run in a thread pool, so that a request ends after
    ``LLM_TIMEOUT`` even if the provider never responds.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.providers: dict[str, Provider] = {}
        self.slots = BoundedSemaphore(config["LLM_CONCURRENCY"])
        self.pool = ThreadPoolExecutor(config["LLM_CONCURRENCY"], "llm")

    def answer(
        self, prompt: Prompt, name: str | None = None, schema: type[BaseModel] | None = None
    ) -> Answer:
        """Return the whole answer from the provider ``name``.

        With ``schema``, its reply is JSON of that model if the stop reason is ``end_turn``.

        Raises:
            ProviderError: the provider did not answer.
            app.errors.Invalid: the prompt exceeds a limit, or the provider does not support it.
        """
        *_, answer = self.ask(prompt, name, schema, stream=False)
        return cast(Answer, answer)

    def stream(self, prompt: Prompt, name: str | None = None) -> Events:
        """Yield pieces of the reply, then the answer; raises the errors of ``answer``."""
        return self.ask(prompt, name, None, stream=True)

    def ask(
        self, prompt: Prompt, name: str | None, schema: type[BaseModel] | None, stream: bool
    ) -> Events:
        provider = self.providers[name or self.config["LLM_PROVIDER"]]
        limit = self.config["LLM_MAX_TOKENS"]
        if (prompt.max_tokens or 0) > limit:
            raise Invalid([field_error("max_tokens", f"Must be at most {limit}.")])
        if prompt.stop_sequences and not provider.has_stop_sequences:
            raise Invalid([field_error("stop_sequences", "Not supported by this provider.")])
        prompt = prompt.model_copy(update={"max_tokens": prompt.max_tokens or limit})
        return self.run(provider, prompt, provider.ask(prompt, schema, stream))

    def run(self, provider: Provider, prompt: Prompt, events: Events) -> Events:
        """Yield the events, and log and count the call."""
        started, outcome, answer = monotonic(), "cancelled", None
        try:
            answer = yield from self.pull(provider, events)
            outcome = answer.stop_reason
            yield answer
        except ProviderError as error:
            outcome = error.reason
            raise
        finally:
            duration, usage = monotonic() - started, answer.usage if answer else Usage()
            REQUESTS.labels(provider.name, outcome).inc()
            TOKENS.labels(provider.name, "input").inc(usage.input_tokens)
            TOKENS.labels(provider.name, "output").inc(usage.output_tokens)
            DURATION.labels(provider.name).observe(duration)
            private = {"prompt": prompt.model_dump(), "reply": answer and answer.reply}
            write = log.error if outcome in FAULTS else log.info
            write(
                "language model called",
                provider=provider.name,
                model=answer.model if answer else provider.model,
                outcome=outcome,
                duration_ms=round(duration * 1000),
                **usage.model_dump(),
                **(private if self.config["LLM_LOG_PROMPTS"] else {}),
            )

    def pull(self, provider: Provider, events: Events) -> Generator[str, None, Answer]:
        """Yield the pieces and return the answer. The pool's threads wait for the provider."""
        if not self.slots.acquire(blocking=False):
            raise ProviderError("busy")

        def free(_: object) -> None:
            try:
                events.close()
            finally:
                self.slots.release()

        deadline = monotonic() + self.config["LLM_TIMEOUT"]
        future = self.pool.submit(next, events)
        try:
            while isinstance(event := future.result(max(0, deadline - monotonic())), str):
                yield event
                future = self.pool.submit(next, events)
            return event
        except TimeoutError:
            raise ProviderError("timeout") from None
        except Exception as error:
            failure = error if isinstance(error, ProviderError) else provider.explain(error)
            if failure.reason != "content_filter":
                name = type(error).__name__
                log.warning("language model failed", provider=provider.name, error=name)
                raise failure from None
            # The verdict of a content filter is an answer.
            model = provider.model
            return Answer(model=model, stop_reason="content_filter", usage=Usage(), reply="")
        finally:
            future.add_done_callback(free)


def add_provider(app: Flask, provider: Provider) -> None:
    models = app.extensions.setdefault("llm", LanguageModels(app.config))
    models.providers[provider.name] = provider


def get_models() -> LanguageModels:
    models: LanguageModels = current_app.extensions["llm"]
    return models
