"""What can be done with accounts, whoever asks."""

from sqlalchemy import select
from werkzeug.exceptions import Unauthorized

from app.database import commit_or_conflict, db
from app.jwt.models import Account
from app.jwt.passwords import hash_password, is_outdated, verify_password
from app.jwt.schemas import Credentials, Registration
from app.jwt.tokens import CHALLENGE


def register(data: Registration) -> Account:
    """Store a new account.

    Raises:
        werkzeug.exceptions.Conflict: the e-mail is taken.
    """
    password_hash = hash_password(data.password.get_secret_value())
    account = Account(email=data.email, password_hash=password_hash)
    db.session.add(account)
    commit_or_conflict("This e-mail address is taken.")
    return account


def authenticate(data: Credentials) -> Account:
    """The account of these credentials.

    Raises:
        werkzeug.exceptions.Unauthorized: unknown account or wrong password; neither the answer
            nor its time tells which.
    """
    account = db.session.scalar(select(Account).where(Account.email == data.email))
    password = data.password.get_secret_value()
    known = verify_password(account.password_hash if account else None, password)
    if account is None or not known:
        raise Unauthorized("The e-mail address or the password is wrong.", None, CHALLENGE)
    if is_outdated(account.password_hash):
        account.password_hash = hash_password(password)
        db.session.commit()
    return account
