"""``flask train-sklearn``."""

from pathlib import Path

import click
from flask import current_app
from flask.cli import with_appcontext

from app.serving.data import read_csv
from app.sklearn.service import FEATURES, get_store


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A CSV file: a header, then four numbers and a label a line. Without it: iris.",
)
@with_appcontext
def train_sklearn(data: Path | None) -> None:
    """Train the classifier, and have it serve from the next start on."""
    from app.sklearn.training import FOLDS, STEPS, iris, train

    store = get_store(current_app.config["SKLEARN_MODEL_DIR"])
    examples = read_csv(data, FEATURES, FOLDS) if data else iris()
    progress = click.progressbar(
        length=len(STEPS), label="Training", item_show_func=lambda step: step or ""
    )
    try:
        with store.locked(), progress as bar:
            manifest = train(
                store,
                examples,
                current_app.config["SKLEARN_ENGINE"],
                validate=True,
                done=lambda step: bar.update(1, step),
            )
    except OSError as error:
        raise click.ClickException(f"The model cannot be written: {error}.") from None
    click.echo(f"Trained {manifest.version}; accuracy, cross-validated: {manifest.accuracy:.3f}.")
    click.echo("Processes that serve another version keep it until they are restarted.")
