"""``flask jobs``: what the workers do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from celery.exceptions import BackendError
from flask.cli import AppGroup
from kombu.exceptions import OperationalError
from pydantic_core import to_json
from redis.exceptions import RedisError

from app.celery import records, service
from app.celery.application import get_celery

jobs = AppGroup("jobs", help="Look at background jobs and their workers.")


@contextmanager
def one_line_errors() -> Iterator[None]:
    try:
        yield
    except (BackendError, OperationalError, OSError, RedisError):
        raise click.ClickException(
            "The broker or the result store does not answer: see CELERY_BROKER_URL and "
            "CELERY_RESULT_BACKEND."
        ) from None


def ask_workers(question: str) -> dict[str, Any]:
    """What each worker answers within a second, by its name."""
    with one_line_errors():
        inspect = get_celery().control.inspect(timeout=1)
        answers: dict[str, Any] | None = getattr(inspect, question)()
    if not answers:
        raise click.ClickException("No worker answers. Start one as the Procfile does.")
    return answers


@jobs.command()
def workers() -> None:
    """List the workers that answer, with their processes and how many jobs they have begun."""
    for name, stats in sorted(ask_workers("stats").items()):
        processes = stats["pool"].get("max-concurrency")
        click.echo(f"{name}: {processes} processes, {sum(stats['total'].values())} jobs")


@jobs.command()
def active() -> None:
    """List the jobs that run now."""
    for worker, running in sorted(ask_workers("active").items()):
        for job in running:
            click.echo(f"{job['id']} {job['name']} on {worker}")


@jobs.command()
@click.argument("job_id", type=click.UUID)
def show(job_id: Any) -> None:
    """Show the job JOB_ID as its owner sees it."""
    with one_line_errors():
        record = records.read(get_celery().backend, str(job_id))
        if record is None:
            raise click.ClickException("There is no such job, or its result has expired.")
        job = service.describe(str(job_id), record)
    click.echo(to_json(job, indent=2))
