"""``/chat``, a page to try the chat, and ``/socket.io/`` for requests that are no WebSocket."""

from pathlib import Path

from flask import Blueprint, Response, current_app, request, send_from_directory

from app.socketio.middleware import ERROR, PATH

HTML = Path(__file__).parent / "chat.html"
FILES = HTML.parent / "page"

blueprint = Blueprint("socketio", __name__)


@blueprint.get(PATH)
def refuse() -> Response:
    """Raise the error that the middleware found."""
    raise request.environ[ERROR]


@blueprint.get("/chat")
def chat() -> Response:
    """The page loads nothing from other hosts; its URLs are relative, so that it may be served
    under a path prefix.
    """
    url = current_app.config["SOCKETIO_URL"] or ""
    page = HTML.read_text(encoding="utf-8").replace("SOCKETIO_URL", url)
    policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    websocket = url.replace("http", "ws", 1)
    policy += f"; script-src 'self'; style-src 'self'; connect-src 'self' {websocket}"
    return Response(page, mimetype="text/html", headers={"Content-Security-Policy": policy})


@blueprint.get("/chat/<name>")
def file(name: str) -> Response:
    """A script or style sheet of the page."""
    return send_from_directory(FILES, name)
