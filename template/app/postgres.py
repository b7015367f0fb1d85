"""A PostgreSQL that hangs: no request waits for it for ever."""

from collections.abc import Generator
from time import monotonic
from typing import Any, TypeVar

import psycopg
from flask import current_app, has_request_context

T = TypeVar("T")
Waiting = Generator[Any, Any, T]  # asks to wait for the server, and is sent what became ready


class Connection(psycopg.Connection[Any]):
    """Gives up, within a request, where the server is silent for ``DATABASE_TIMEOUT`` seconds.

    Migrations, commands and jobs may take longer.
    """

    def wait(self, gen: Waiting[T], *args: Any, **options: Any) -> T:
        if not has_request_context():
            return super().wait(gen, *args, **options)
        bounded = give_up(gen, current_app.config["DATABASE_TIMEOUT"])
        try:
            return super().wait(bounded, *args, **options)
        except SilenceError:
            self.close()  # whoever took it next would read the answer to another question
            raise


class SilenceError(psycopg.OperationalError):
    """The server did not answer in time."""


def give_up(gen: Waiting[T], seconds: float) -> Waiting[T]:
    """``gen``, until nothing has become ready for so long: psycopg sends 0 while nothing does."""
    heard = monotonic()
    try:
        wanted = next(gen)
        while True:
            if ready := (yield wanted):
                heard = monotonic()
            elif monotonic() - heard > seconds:
                raise SilenceError(f"PostgreSQL was silent for {seconds} seconds")
            wanted = gen.send(ready)
    except StopIteration as end:
        value: T = end.value
        return value
