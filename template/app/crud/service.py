"""What can be done with users, whoever asks: a route, a command or a job."""

# {% if "pagination" not in components %}
from collections.abc import Sequence

# {% endif %}
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from werkzeug.exceptions import Conflict

from app.crud.models import User
from app.crud.schemas import UserIn, UserPatch
from app.database import db
# {% if "pagination" in components %}
from app.pagination.cursor import Page, PageQuery, paginate
# {% endif %}


def create(data: UserIn) -> User:
    """Store a new user.

    Raises:
        werkzeug.exceptions.Conflict: the e-mail is taken; the database decides, so that of two
            concurrent requests one wins.
    """
    user = User(**data.model_dump())
    db.session.add(user)
    commit()
    return user


def get(user_id: int) -> User:
    """One user; ``werkzeug.exceptions.NotFound`` where there is none."""
    return db.get_or_404(User, user_id, description="There is no such user.")


# {% if "pagination" in components %}
def list_page(query: PageQuery) -> Page[User]:
    """A page of users, oldest first."""
    return paginate(select(User), [User.id], query)
# {% else %}
def list_all() -> Sequence[User]:
    """All users, oldest first."""
    return db.session.scalars(select(User).order_by(User.id)).all()
# {% endif %}


def update(user_id: int, data: UserIn | UserPatch) -> User:
    """Set the fields that ``data`` brings; raises as ``get`` and ``create`` do."""
    user = get(user_id)
    for field, value in data.model_dump(exclude_unset=True).items():
        setattr(user, field, value)
    commit()
    return user


def delete(user_id: int) -> None:
    """Forget a user; raises as ``get`` does."""
    db.session.delete(get(user_id))
    db.session.commit()


def commit() -> None:
    try:
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        raise Conflict("This e-mail address is taken.") from None
