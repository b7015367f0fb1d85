"""``flask`` commands for accounts and tokens."""

from typing import get_args

import click
from flask import Flask
from flask.cli import with_appcontext
from pydantic import SecretStr, TypeAdapter

from app.commands import one_line_errors
from app.jwt import denylist, service
from app.jwt.schemas import Password, Registration
from app.users.models import Role


def init_app(app: Flask) -> None:
    for command in (create_account, set_password, set_role, purge_tokens):
        app.cli.add_command(command)


@click.command()
@click.argument("email")
@click.option("--admin", is_flag=True, help="Make the user an admin.")
@click.password_option(help="Prompted for if omitted.")
@with_appcontext
def create_account(email: str, admin: bool, password: str) -> None:
    """Create a user who can log in with EMAIL."""
    with one_line_errors():
        registration = Registration(email=email, password=SecretStr(password))
        user = service.register(registration, "admin" if admin else "user")
    click.echo(f"Created {user.role} {user.id}.")


@click.command()
@click.argument("email")
@click.password_option(help="Prompted for if omitted.")
@with_appcontext
def set_password(email: str, password: str) -> None:
    """Let the user with this EMAIL log in with a new password."""
    with one_line_errors():
        valid = TypeAdapter(Password).validate_python(password)
        service.set_password(service.find(email), valid.get_secret_value())
    click.echo("Changed the password.")


@click.command()
@click.argument("email")
@click.argument("role", type=click.Choice(get_args(Role)))
@with_appcontext
def set_role(email: str, role: Role) -> None:
    """Make the user with this EMAIL an admin, or a user again."""
    with one_line_errors():
        service.set_role(service.find(email), role)
    click.echo("Changed the role.")


@click.command()
@with_appcontext
def purge_tokens() -> None:
    """Delete expired revocations from the database. Run it daily unless REDIS_URL is set."""
    with one_line_errors():
        count = denylist.purge()
    click.echo(f"Deleted {count} expired revocations.")
