"""The way from one process to the clients of another: a Redis channel."""

from collections.abc import Iterator
from time import sleep
from typing import Any

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry
from socketio import PubSubManager

from app.config import SERVICE_NAME

TIMEOUT = 1  # seconds

log = structlog.stdlib.get_logger(__name__)


class RedisQueue(PubSubManager):  # type: ignore[misc]  # the library has no types
    """Whoever sends never waits long for a Redis that hangs; whoever listens comes back by itself.

    The library's own manager has no bound for the first and waits up to a minute for the second.
    """

    name = "redis"

    def __init__(self, url: str) -> None:
        super().__init__(channel=f"{SERVICE_NAME}/socketio")
        self.listens = True
        self.redis = Redis.from_url(
            url,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            health_check_interval=10,
            retry=Retry(NoBackoff(), 0),  # each would take its own time
        )

    def _publish(self, data: dict[str, Any]) -> None:
        message = self.json.dumps(data)
        try:
            try:
                self.redis.publish(self.channel, message)
            except RedisConnectionError:  # it may have been restarted since
                self.redis.publish(self.channel, message)
        except RedisError as error:
            log.error("other processes were not reached: Redis does not answer", error=repr(error))

    def _listen(self) -> Iterator[bytes]:
        while True:
            try:
                yield from self.messages()
            except RedisError:
                if self.listens:
                    log.warning("no messages of other processes: Redis does not answer")
                self.listens = False
                sleep(TIMEOUT)

    def messages(self) -> Iterator[bytes]:
        """What is published, until Redis is gone."""
        with self.redis.pubsub(  # type: ignore[no-untyped-call]
            ignore_subscribe_messages=True
        ) as pubsub:
            pubsub.subscribe(self.channel)
            if not self.listens:
                log.info("messages of other processes come again")
            self.listens = True
            while True:
                if message := pubsub.get_message(timeout=TIMEOUT):
                    yield message["data"]
