"""``/api/v1/openai``."""

from pydantic import ValidationError

from app.api import endpoint
from app.llm.errors import ProviderError
from app.llm.schemas import Prompt
from app.llm.service import get_models
from app.llm.views import chat_blueprint
from app.openai.schemas import Event, Extract, Extraction

INSTRUCTIONS = "Extract the event that the text announces. Use null for what it does not say."

blueprint = chat_blueprint("openai")


@blueprint.post("/extract")
@endpoint(returns=Extraction, errors=(503,))
def extract(body: Extract) -> Extraction:
    """Extract an event from a text, as an example of structured output.

    `event` is null if the model did not finish; see `stop_reason`.
    """
    prompt = Prompt(message=body.text, system=INSTRUCTIONS)
    answer = get_models().answer(prompt, "openai", schema=Event)
    event = None
    if answer.stop_reason == "end_turn":
        try:
            event = Event.model_validate_json(answer.reply)
        except ValidationError:
            raise ProviderError("unavailable") from None
    return Extraction(**answer.model_dump(exclude={"reply"}), event=event)
