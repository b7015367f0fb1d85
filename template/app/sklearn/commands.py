"""``flask train-sklearn``."""

from pathlib import Path

import click
from flask import current_app
from flask.cli import with_appcontext

from app.serving.commands import data_option, progress_bar, report
from app.serving.data import read_csv
from app.sklearn.service import FEATURES, SklearnLoader


@click.command()
@data_option
@with_appcontext
def train_sklearn(data: Path | None) -> None:
    """Train the classifier on four features; by default on the iris dataset."""
    from app.sklearn.training import FOLDS, STEPS, load_sample, train

    loader: SklearnLoader = current_app.extensions["sklearn"]
    dataset = read_csv(data, FEATURES, FOLDS) if data else load_sample()
    with progress_bar(STEPS) as done:
        manifest = train(loader.store, dataset, loader.config["SKLEARN_ENGINE"], done)
    report(manifest)
