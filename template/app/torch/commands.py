"""``flask train-torch``."""

from pathlib import Path

import click
from flask import current_app
from flask.cli import with_appcontext

from app.serving.commands import data_option, progress_bar, report
from app.serving.data import read_csv
from app.torch.service import INPUTS, TorchLoader, choose_device, packages_required


@click.command()
@data_option
@click.option(
    "--epochs",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="Number of passes over the data.",
)
@with_appcontext
def train_torch(data: Path | None, epochs: int) -> None:
    """Train the network on ten features; by default on synthetic data."""
    with packages_required():
        from app.torch.training import MIN_ROWS, make_sample, train

    loader: TorchLoader = current_app.extensions["torch"]
    device = choose_device(loader.config["TORCH_DEVICE"])
    dataset = read_csv(data, INPUTS, MIN_ROWS) if data else make_sample()
    with progress_bar(epochs) as done:
        manifest = train(loader.store, dataset, loader.config["TORCH_ENGINE"], device, epochs, done)
    report(manifest)
