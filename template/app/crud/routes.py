"""``/api/v1/users``."""

from typing import Any

from flask import Blueprint, url_for

from app.api import PREFIX, endpoint
from app.crud import service
from app.crud.models import User
from app.crud.schemas import UserIn, UserList, UserOut, UserPatch
# {% if "pagination" in components %}
from app.pagination.cursor import PageQuery, with_link
# {% endif %}

blueprint = Blueprint("users", __name__, url_prefix=f"{PREFIX}/users")


@blueprint.post("")
@endpoint(returns=UserOut, status=201, errors=(409,))
def create_user(body: UserIn) -> tuple[User, dict[str, str]]:
    """Create a user."""
    user = service.create(body)
    return user, {"Location": url_for("users.get_user", user_id=user.id)}


# {% if "pagination" in components %}
@blueprint.get("")
@endpoint(returns=UserList)
def list_users(query: PageQuery) -> tuple[Any, dict[str, str]]:
    """A page of users, oldest first."""
    return with_link(service.list_page(query), query)
# {% else %}
@blueprint.get("")
@endpoint(returns=UserList)
def list_users() -> dict[str, Any]:
    """All users, oldest first."""
    return {"items": service.list_all()}
# {% endif %}


@blueprint.get("/<id:user_id>")
@endpoint(returns=UserOut)
def get_user(user_id: int) -> User:
    """One user."""
    return service.get(user_id)


@blueprint.put("/<id:user_id>")
@endpoint(returns=UserOut, errors=(409,))
def replace_user(user_id: int, body: UserIn) -> User:
    """Replace a user's fields."""
    return service.update(user_id, body)


@blueprint.patch("/<id:user_id>")
@endpoint(returns=UserOut, errors=(409,))
def change_user(user_id: int, body: UserPatch) -> User:
    """Change some of a user's fields."""
    return service.update(user_id, body)


@blueprint.delete("/<id:user_id>")
@endpoint(status=204)
def delete_user(user_id: int) -> None:
    """Delete a user."""
    service.delete(user_id)
