"""Messages that a worker has taken stay its own as long as it gives a sign of life.

Celery on Redis gives a message back to the queue when its visibility timeout is over. That must be
longer than the longest job, and so a job whose worker was killed would wait for as long. Here a
worker renews what it holds, so that the timeout can be short: no job is given away while it runs,
and one whose worker is gone soon goes to another. RabbitMQ sees by itself that a worker is gone.
"""

from typing import Any

from celery import bootsteps

from app.celery import files, redis


class Lease(bootsteps.StartStopStep):  # type: ignore[misc]
    """Renews, from the worker's main process, what it and its children work on."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    timer: Any = None

    def start(self, consumer: Any) -> None:
        timeout = consumer.app.conf.broker_transport_options.get("visibility_timeout")
        if timeout:
            channel = consumer.task_consumer.channel
            self.timer = consumer.timer.call_repeatedly(timeout / 6, renew, (channel,))

    def stop(self, consumer: Any) -> None:
        if self.timer:
            self.timer.cancel()


def renew(channel: Any) -> None:
    """Renew every message that ``channel`` has delivered and that is not acknowledged."""
    if isinstance(channel, files.Channel | redis.Channel):
        channel.renew(list(channel.qos._delivered))
