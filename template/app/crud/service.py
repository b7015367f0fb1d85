"""What can be done with users, from a route, a command or a job."""

# {% if "pagination" not in components %}
from collections.abc import Sequence

# {% endif %}
import sqlalchemy as sa
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.exceptions import NotFound

from app.crud.schemas import UserIn, UserPatch
from app.database import commit_or_conflict, db
# {% if "jwt" in components %}
from app.jwt.service import keep_last_admin
# {% endif %}
# {% if "pagination" in components %}
from app.pagination.cursor import Page, PageQuery, paginate
# {% endif %}
from app.users.models import User

EMAIL_TAKEN = "This e-mail address is already in use."
NOT_FOUND = "User not found."


def create(data: UserIn) -> User:
    """Store a new user.

    Raises:
        werkzeug.exceptions.Conflict: the e-mail address is already in use. The database decides,
            so one of several concurrent requests succeeds.
    """
    user = User(**data.model_dump())
    db.session.add(user)
    commit_or_conflict(EMAIL_TAKEN)
    return user


def get(user_id: int) -> User:
    """Return a user; raises ``werkzeug.exceptions.NotFound``."""
    return db.get_or_404(User, user_id, description=NOT_FOUND)


# {% if "pagination" in components %}
def list_page(query: PageQuery) -> Page[User]:
    """Return a page of users, oldest first."""
    return paginate(sa.select(User), [User.id], query)
# {% else %}
def list_all() -> Sequence[User]:
    """Return all users, oldest first."""
    return db.session.scalars(sa.select(User).order_by(User.id)).all()
# {% endif %}


def update(user_id: int, data: UserIn | UserPatch) -> User:
    """Set the fields that ``data`` contains.

    Raises:
        werkzeug.exceptions.NotFound: there is no such user.
        # {% if "jwt" in components %}
        werkzeug.exceptions.Conflict: the e-mail address is already in use, or the last admin would
            lose the role.
        # {% else %}
        werkzeug.exceptions.Conflict: the e-mail address is already in use.
        # {% endif %}
    """
    user = get(user_id)
    changes = data.model_dump(exclude_unset=True)
    # {% if "jwt" in components %}
    if changes.get("role") == "user":
        keep_last_admin(user_id)
    # {% endif %}
    for field, value in changes.items():
        setattr(user, field, value)
    try:
        commit_or_conflict(EMAIL_TAKEN)
    except StaleDataError:  # deleted by another request in the meantime
        db.session.rollback()
        raise NotFound(NOT_FOUND) from None
    return user


def delete(user_id: int) -> None:
    """Delete a user.

    Raises:
        werkzeug.exceptions.NotFound: there is no such user, or no longer.
        # {% if "jwt" in components %}
        werkzeug.exceptions.Conflict: it is the last admin.
        # {% endif %}
    """
    # {% if "jwt" in components %}
    keep_last_admin(user_id)
    # {% endif %}
    statement = sa.delete(User).where(User.id == user_id).returning(User.id)
    deleted = db.session.execute(statement).first()
    db.session.commit()
    if deleted is None:
        raise NotFound(NOT_FOUND)
