"""What can be done with accounts, from a route or a command."""

from sqlalchemy import select
from werkzeug.exceptions import Conflict, NotFound, Unauthorized

from app.database import commit_or_conflict, db
from app.jwt.models import Credentials
from app.jwt.passwords import hash_password, needs_rehash, verify_password
from app.jwt.schemas import Login, Registration
from app.jwt.tokens import CHALLENGE
from app.users.models import Role, User


def register(data: Registration, role: Role = "user") -> User:
    """Store a new user with a password.

    Raises:
        werkzeug.exceptions.Conflict: a user has this e-mail address, with or without a password.
    """
    name = data.name or data.email.partition("@")[0][:120]
    user = User(email=data.email, name=name, role=role)
    password_hash = hash_password(data.password.get_secret_value())
    db.session.add(Credentials(user=user, password_hash=password_hash))
    commit_or_conflict("This e-mail address is already in use.")
    return user


def authenticate(data: Login) -> User:
    """Return the user with this e-mail address and password.

    Raises:
        werkzeug.exceptions.Unauthorized: unknown account or wrong password. Neither the response
            nor its time reveals which.
    """
    query = select(Credentials).join(Credentials.user).where(User.email == data.email)
    credentials = db.session.scalar(query)
    password = data.password.get_secret_value()
    valid = verify_password(credentials.password_hash if credentials else None, password)
    if credentials is None or not valid:
        raise Unauthorized("Wrong e-mail address or password.", None, CHALLENGE)
    if needs_rehash(credentials.password_hash):
        credentials.password_hash = hash_password(password)
        db.session.commit()
    return credentials.user


def find(email: str) -> User:
    """Return the user with this e-mail address; raises ``werkzeug.exceptions.NotFound``."""
    user = db.session.scalar(select(User).where(User.email == email.lower()))
    if user is None:
        raise NotFound("User not found.")
    return user


def set_password(user: User, password: str) -> None:
    """Let a user log in with this password from now on."""
    db.session.merge(Credentials(user_id=user.id, password_hash=hash_password(password)))
    db.session.commit()


def set_role(user: User, role: Role) -> None:
    """Make a user an admin, or an admin a user again; raises as ``keep_last_admin`` does."""
    if role == "user":
        keep_last_admin(user.id)
    user.role = role
    db.session.commit()


def keep_last_admin(user_id: int) -> None:
    """Call this before this user is deleted or loses the role. Locks all admins until the commit.

    Raises:
        werkzeug.exceptions.Conflict: there is no other admin.
    """
    admins = select(User.id).where(User.role == "admin").with_for_update()
    if db.session.scalars(admins).all() == [user_id]:
        db.session.rollback()
        raise Conflict("This is the last admin. Make another user an admin first.")
