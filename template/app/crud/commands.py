"""``flask create-user``."""

import click
from flask.cli import with_appcontext

from app.commands import one_line_errors
from app.crud import service
from app.crud.schemas import UserIn


@click.command()
@click.argument("email")
@click.argument("name")
@with_appcontext
def create_user(email: str, name: str) -> None:
    """Create a user with this EMAIL and NAME."""
    with one_line_errors():
        user = service.create(UserIn(email=email, name=name))
    click.echo(f"Created user {user.id}.")
