"""WebSockets below Engine.IO, with bounds that it leaves open."""

import re

from engineio.async_drivers._websocket_wsgi import SimpleWebSocketWSGI

MAX_MESSAGE = 256 * 1024  # bytes
#: What a client sends over a WebSocket: a type of Engine.IO, in messages followed by Socket.IO's.
PACKET = re.compile(r"[12356]|4[0-6]")
#: Stands for any other, so that it is answered as what it is; Engine.IO ends without a word.
MALFORMED = "4?"


class Transport(SimpleWebSocketWSGI):  # type: ignore[misc]  # the library has no types
    """Takes no message beyond ``MAX_MESSAGE``, not even in parts."""

    def __init__(self, handler: object, server: object) -> None:
        super().__init__(handler, server, max_message_size=MAX_MESSAGE)

    def wait(self) -> str | bytes | None:
        """The next packet; None where the client is gone."""
        packet: str | bytes | None = super().wait()
        if isinstance(packet, str) and not PACKET.match(packet):
            return MALFORMED
        return packet
