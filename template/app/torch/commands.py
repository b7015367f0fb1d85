"""``flask train-torch``."""

from pathlib import Path

import click
from flask import current_app
from flask.cli import with_appcontext

from app.serving.data import read_csv
from app.torch.engines import choose_device, needing_packages
from app.torch.service import INPUTS, get_store


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A CSV file: a header, then ten numbers and a label a line. Without it: made-up data.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="How often training sees all lines.",
)
@with_appcontext
def train_torch(data: Path | None, epochs: int) -> None:
    """Train the classifier, and have it serve from the next start on."""
    with needing_packages():
        from app.torch.training import FEWEST, made_up, train
    device = choose_device(current_app.config["TORCH_DEVICE"])
    store = get_store(current_app.config["TORCH_MODEL_DIR"])
    examples = read_csv(data, INPUTS, FEWEST) if data else made_up()
    progress = click.progressbar(
        length=epochs, label="Training", item_show_func=lambda step: step or ""
    )
    try:
        with store.locked(), progress as bar:
            manifest = train(
                store,
                examples,
                current_app.config["TORCH_ENGINE"],
                device,
                epochs,
                done=lambda step: bar.update(1, step),
            )
    except OSError as error:
        raise click.ClickException(f"The model cannot be written: {error}.") from None
    click.echo(f"Trained {manifest.version} on {device}; accuracy: {manifest.accuracy:.3f}.")
    click.echo("Processes that serve another version keep it until they are restarted.")
