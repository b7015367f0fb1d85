"""What can be done with users, whoever asks: a route, a command or a job."""

# {% if "pagination" not in components %}
from collections.abc import Sequence

# {% endif %}
import sqlalchemy as sa
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.exceptions import NotFound

from app.crud.models import User
from app.crud.schemas import UserIn, UserPatch
from app.database import commit_or_conflict, db
# {% if "pagination" in components %}
from app.pagination.cursor import Page, PageQuery, paginate
# {% endif %}

TAKEN = "This e-mail address is taken."
MISSING = "There is no such user."


def create(data: UserIn) -> User:
    """Store a new user.

    Raises:
        werkzeug.exceptions.Conflict: the e-mail is taken; the database decides, so that of two
            concurrent requests one wins.
    """
    user = User(**data.model_dump())
    db.session.add(user)
    commit_or_conflict(TAKEN)
    return user


def get(user_id: int) -> User:
    """One user; ``werkzeug.exceptions.NotFound`` where there is none."""
    return db.get_or_404(User, user_id, description=MISSING)


# {% if "pagination" in components %}
def list_page(query: PageQuery) -> Page[User]:
    """A page of users, oldest first."""
    return paginate(sa.select(User), [User.id], query)
# {% else %}
def list_all() -> Sequence[User]:
    """All users, oldest first."""
    return db.session.scalars(sa.select(User).order_by(User.id)).all()
# {% endif %}


def update(user_id: int, data: UserIn | UserPatch) -> User:
    """Set the fields that ``data`` brings; raises as ``get`` and ``create`` do."""
    user = get(user_id)
    for field, value in data.model_dump(exclude_unset=True).items():
        setattr(user, field, value)
    try:
        commit_or_conflict(TAKEN)
    except StaleDataError:  # deleted by somebody else meanwhile
        db.session.rollback()
        raise NotFound(MISSING) from None
    return user


def delete(user_id: int) -> None:
    """Forget a user; of concurrent calls one succeeds, the others raise as ``get`` does."""
    deleted = db.session.execute(sa.delete(User).where(User.id == user_id).returning(User.id))
    found = deleted.first() is not None
    db.session.commit()
    if not found:
        raise NotFound(MISSING)
