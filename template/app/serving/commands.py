"""What the training commands share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from app.serving.store import Manifest

data_option = click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A CSV file: a header, then the features and a label on each line. Default: sample data.",
)


@contextmanager
def progress_bar(steps: int) -> Iterator[Callable[[str], None]]:
    """Show the progress of training; call the value with the name of each finished step."""
    show = click.progressbar(length=steps, label="Training", item_show_func=lambda step: step or "")
    try:
        with show as bar:
            yield lambda step: bar.update(1, step)
    except OSError as error:
        raise click.ClickException(f"The model can't be written: {error}.") from None


def report(manifest: Manifest) -> None:
    click.echo(f"Trained {manifest.version}; accuracy: {manifest.accuracy:.3f}.")
    click.echo("Restart running processes to serve it.")
