"""``flask train-torch``."""

from pathlib import Path

import click
from flask.cli import with_appcontext

from app.serving.commands import data_option, train
from app.torch.service import EPOCHS


@click.command()
@data_option
@click.option(
    "--epochs",
    type=click.IntRange(1, 10_000),
    default=EPOCHS,
    show_default=True,
    help="Number of passes over the data.",
)
@with_appcontext
def train_torch(data: Path | None, epochs: int) -> None:
    """Train the network on ten features; by default on synthetic data."""
    train("torch", data, epochs, epochs=epochs)
