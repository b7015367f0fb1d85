"""``/api/v1/bedrock``."""

from flask import Blueprint, Response

from app.api import JSON, PREFIX, endpoint
from app.llm import Answer, ProviderError
from app.llm.errors import to_problem
from app.llm.schemas import Chat
from app.llm.views import EVENT_STREAM, answer_chat

blueprint = Blueprint("bedrock", __name__, url_prefix=f"{PREFIX}/bedrock")
blueprint.register_error_handler(ProviderError, to_problem)


@blueprint.post("/chat")
@endpoint(returns=Answer, errors=(503,), media_types=(JSON, EVENT_STREAM))
def chat(body: Chat) -> Answer | Response:
    """Ask a model of Amazon Bedrock.

    With `stream`, pieces of the reply come as messages with `text`, then the event `done` with
    usage and stop reason, or the event `error` with a problem document.
    """
    return answer_chat("bedrock", body)
