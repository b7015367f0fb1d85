"""``flask fetch-weights``."""

import click
from flask import current_app
from flask.cli import with_appcontext

from app.deepface.service import build_model, import_deepface
from app.deepface.weights import check_weights, weight_files, write_digests


@click.command("fetch-weights")
@click.option("--verify", is_flag=True, help="Only check the files that are there.")
@with_appcontext
def fetch_weights(verify: bool) -> None:
    """Download missing weights of the face models, and check all of them.

    Their SHA-256 digests are recorded in DEEPFACE_HOME/SHA256SUMS at the first download. A file
    that differs from its digest is refused from then on.
    """
    home, recognition = current_app.config["DEEPFACE_HOME"], current_app.config["FACES_MODEL"]
    files = weight_files(home, recognition)
    if not verify:
        for name, file in files.items():
            if not file.is_file():
                download(name, file.name)
        try:
            write_digests(home, recognition)
        except OSError:
            raise click.ClickException("DEEPFACE_HOME cannot be written.") from None
    check_weights(home, recognition)
    for file in files.values():
        click.echo(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")


def download(name: str, file: str) -> None:
    """Have DeepFace download the weights of a model, with its own progress bar."""
    click.echo(f"Downloading {file}")
    try:
        build_model(import_deepface(current_app.config["DEEPFACE_HOME"]), name)
    except (OSError, ValueError):
        raise click.ClickException(
            f"{file} cannot be downloaded. Check the connection and that DEEPFACE_HOME is writable."
        ) from None
