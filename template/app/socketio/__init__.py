"""Live messages: Socket.IO on ``/socket.io``, and a chat on ``/chat`` to try them.

A component adds an event with ``@event``, as ``app.socketio.chat`` does, and sends events from any
process with ``app.socketio.push``.
"""

from flask import Flask

# {% if "celery" in components %}
from app.socketio import chat, jobs, server
# {% else %}
from app.socketio import chat, server
# {% endif %}
from app.socketio.routes import blueprint

__all__ = ["chat", "init_app"]


def init_app(app: Flask) -> None:
    app.register_blueprint(blueprint)
    server.init_app(app)
    # {% if "celery" in components %}
    jobs.init_app(app)
    # {% endif %}
