"""What the training commands share."""

from pathlib import Path
from typing import Any

import click
from flask import current_app

data_option = click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A CSV file: a header, then the features and a label on each line. Default: sample data.",
)


def train(component: str, data: Path | None, steps: int, **options: Any) -> None:
    """Train a component's model with a progress bar; ``options`` are the loader's own."""
    loader = current_app.extensions[component]
    show = click.progressbar(length=steps, label="Training", item_show_func=lambda step: step or "")
    try:
        with show as bar:
            manifest = loader.train(data, lambda step: bar.update(1, step), **options)
    except OSError as error:
        raise click.ClickException(f"The model can't be written: {error}.") from None
    click.echo(f"Trained {manifest.version}; accuracy: {manifest.accuracy:.3f}.")
    click.echo("Restart running processes to serve it.")
