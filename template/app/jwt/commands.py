"""``flask create-account`` and ``flask purge-tokens``."""

import click
from flask.cli import with_appcontext
from pydantic import SecretStr

from app.commands import one_line_errors
from app.jwt import service
from app.jwt.denylist import DatabaseDenylist
from app.jwt.schemas import Registration


@click.command()
@click.argument("email")
@click.password_option(help="Asked for where it is not given.")
@with_appcontext
def create_account(email: str, password: str) -> None:
    """Create an account that can log in with EMAIL."""
    with one_line_errors():
        account = service.register(Registration(email=email, password=SecretStr(password)))
    click.echo(f"Created account {account.id}.")


@click.command()
@with_appcontext
def purge_tokens() -> None:
    """Delete expired revocations from the database; run it daily. Redis needs none of this."""
    with one_line_errors():
        count = DatabaseDenylist().purge()
    click.echo(f"Deleted {count} expired revocations.")
