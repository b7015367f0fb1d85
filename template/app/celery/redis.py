"""Redis as broker, where no message is lost with the worker that is just taking it.

Kombu takes a message off its queue by BRPOP and then writes it down as delivered, so that one whose
worker is killed in between is nowhere. Here it moves to a list beside the queue, and from there to
what is delivered, each in one step. What stays in that list goes back to the queue.
"""

from queue import Empty
from time import monotonic, time
from typing import Any

from kombu.transport import redis, virtual
from kombu.utils.json import dumps, loads

#: Keys: the list, then Kombu's hash and index of what is delivered. It answers 0 where the message
#: is not in the list any more: it went back to the queue, and is no longer this worker's.
CLAIM = """
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[2])
return 1
"""
#: Keys: the list, the queue. Of several workers that do this, one does it.
GIVE_BACK = """
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 1 then redis.call('RPUSH', KEYS[2], ARGV[1]) end
"""


class Taken(dict[str, Any]):
    """A message, and the list that it is in until it is claimed."""

    def __init__(self, place: str, content: bytes) -> None:
        super().__init__(loads(content))
        self.place = place
        self.content = content


class QoS(redis.QoS):  # type: ignore[misc]
    """What was delivered is kept until it is acknowledged."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Keep a message.

        Raises:
            queue.Empty: this took so long that the message was given back.
        """
        if not isinstance(message._raw, Taken):
            super().append(message, delivery_tag)
        elif self.claim(message, delivery_tag):
            virtual.QoS.append(self, message, delivery_tag)
        else:
            raise Empty

    def claim(self, message: Any, delivery_tag: str) -> bool:
        taken, key, route = message._raw, self.channel.key, message.delivery_info
        keys = taken.place, key(self.unacked_key), key(self.unacked_index_key)
        entry = dumps([taken, route["exchange"], route["routing_key"]])
        with self.channel.conn_or_acquire() as client:
            values = taken.content, delivery_tag, entry, time()
            return bool(client.eval(CLAIM, len(keys), *keys, *values))


class Channel(redis.Channel):  # type: ignore[misc]
    """Kombu's, but for how it takes messages that are acknowledged later.

    That needs a channel that reads one queue, without priorities, as Celery's does where there is
    one queue. Where there are more, Kombu takes them.
    """

    QoS = QoS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.without_ack: set[str] = set()  # queues
        self.taking_from: str | None = None  # what BLMOVE waits for
        self.seen: set[tuple[str, bytes]] = set()

    def key(self, name: str) -> str:
        return f"{self.global_keyprefix}{name}"

    def place(self, queue: str) -> str:
        """The key of the list of what was taken from a queue."""
        return self.key(f"{queue}.taken")

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:
        if no_ack:
            self.without_ack.add(queue)
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = self.active_queues
        if len(queues) * len(self.priority_steps) != 1 or queues[0] in self.without_ack:
            self.taking_from = None
            super()._brpop_start(timeout)
            return
        self.taking_from = queue = queues[0]
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()  # Kombu looks whether an answer is overdue
        ends = "RIGHT", "LEFT", timeout or self.brpop_timeout or 0
        self._in_poll.send_command("BLMOVE", self.key(queue), self.place(queue), *ends)

    def _brpop_read(self, **options: Any) -> Any:
        if self.taking_from is None:
            return super()._brpop_read(**options)
        try:
            self.deliver(self.taking_from, self.receive(**options))
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        return True

    def receive(self, **options: Any) -> bytes:
        try:
            content: bytes | None = self.client.parse_response(
                self.client.connection, "BLMOVE", **options
            )
        except self.connection_errors:
            self.client.connection.disconnect()  # the next round connects again
            raise
        if content is None:
            raise Empty
        return content

    def deliver(self, queue: str, content: bytes) -> None:
        place = self.place(queue)
        try:
            self.connection._deliver(Taken(place, content), queue)
        except (KeyError, TypeError, ValueError):  # nobody can read it, and so nobody shall again
            with self.conn_or_acquire() as client:
                client.lrem(place, 1, content)
            raise

    def renew(self, tags: list[str]) -> None:
        """Keep what is worked on here; put back what was taken and never claimed.

        A worker claims within moments. What lies there at two calls in a row was left by one that
        was killed; or by one that hung, and that finds it gone when it goes on.
        """
        with self.conn_or_acquire() as client:
            if tags:
                client.zadd(self.unacked_index_key, dict.fromkeys(tags, time()), xx=True)
            found = {
                (queue, content)
                for queue in self.active_queues
                for content in client.lrange(self.place(queue), 0, -1)
            }
            for queue, content in found & self.seen:
                client.eval(GIVE_BACK, 2, self.place(queue), self.key(queue), content)
        self.seen = found


class Transport(redis.Transport):  # type: ignore[misc]
    """``redis://``, ``rediss://`` and ``redis+socket://``."""

    Channel = Channel
