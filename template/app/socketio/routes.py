"""``/chat``, and what ``/socket.io`` answers to all that is no connection."""

from pathlib import Path

from flask import Blueprint, Response, current_app, request, send_from_directory
from werkzeug.exceptions import HTTPException

from app.socketio.gate import PATH, REFUSAL

HTML = Path(__file__).parent / "chat.html"
PAGE = HTML.parent / "page"  # its files

blueprint = Blueprint("socketio", __name__)


@blueprint.get(PATH)
def refuse() -> Response:
    """Say why this is no connection; the gate takes those that are."""
    refusal: HTTPException = request.environ[REFUSAL]
    raise refusal


@blueprint.get("/chat")
def chat() -> Response:
    """A page to try the chat in. It loads files of this host and nothing else."""
    url = current_app.config["SOCKETIO_URL"] or ""
    page = HTML.read_text(encoding="utf-8").replace("SOCKETIO_URL", url)
    policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    policy += f"; script-src 'self'; style-src 'self'; connect-src 'self' {as_websocket(url)}"
    return Response(page, mimetype="text/html", headers={"Content-Security-Policy": policy})


@blueprint.get("/chat/<name>")
def file(name: str) -> Response:
    """A file of the page."""
    return send_from_directory(PAGE, name)


def as_websocket(url: str) -> str:
    """``https://a.example`` → ``wss://a.example``."""
    return url.replace("http", "ws", 1)
