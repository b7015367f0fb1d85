"""``/api/v1/openai``."""

from flask import Blueprint, Response
from pydantic import ValidationError

from app.api import JSON, PREFIX, endpoint
from app.llm import Answer, Prompt, ProviderError, get_models
from app.llm.errors import to_problem
from app.llm.schemas import Chat
from app.llm.views import EVENT_STREAM, answer_chat
from app.openai.schemas import Event, Extract, Extraction

INSTRUCTIONS = "Extract the event that the text announces. Use null for what it does not say."

blueprint = Blueprint("openai", __name__, url_prefix=f"{PREFIX}/openai")
blueprint.register_error_handler(ProviderError, to_problem)


@blueprint.post("/chat")
@endpoint(returns=Answer, errors=(503,), media_types=(JSON, EVENT_STREAM))
def chat(body: Chat) -> Answer | Response:
    """Ask a model of the OpenAI API.

    With `stream`, pieces of the reply come as messages with `text`, then the event `done` with
    usage and stop reason, or the event `error` with a problem document.
    """
    return answer_chat("openai", body)


@blueprint.post("/extract")
@endpoint(returns=Extraction, errors=(503,))
def extract(body: Extract) -> Extraction:
    """Extract an event from a text, as an example of structured output.

    `event` is null where the model did not finish; see `stop_reason`.
    """
    prompt = Prompt(message=body.text, system=INSTRUCTIONS)
    answer = get_models().answer(prompt, "openai", schema=Event)
    event = None
    if answer.stop_reason == "end_turn":
        try:
            event = Event.model_validate_json(answer.reply)
        except ValidationError:
            raise ProviderError("unavailable") from None
    return Extraction(
        model=answer.model, stop_reason=answer.stop_reason, usage=answer.usage, event=event
    )
