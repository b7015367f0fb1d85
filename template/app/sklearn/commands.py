"""``flask train-sklearn``."""

from pathlib import Path

import click
from flask.cli import with_appcontext

from app.serving.commands import data_option, train
from app.sklearn.service import STEPS


@click.command()
@data_option
@with_appcontext
def train_sklearn(data: Path | None) -> None:
    """Train the classifier on four features; by default on the iris dataset."""
    train("sklearn", data, STEPS)
