"""``/api/v1/users``."""

from typing import Any

# {% if "jwt" in components %}
from flask import Blueprint, request, url_for
from flask_jwt_extended import current_user
from werkzeug.exceptions import Forbidden
# {% else %}
from flask import Blueprint, url_for
# {% endif %}

from app.api import PREFIX, endpoint
from app.crud import service
from app.crud.schemas import UserIn, UserList, UserPatch
from app.database import Id
# {% if "jwt" in components %}
from app.jwt.permissions import may_access
# {% endif %}
# {% if "pagination" in components %}
from app.pagination.cursor import PageQuery, with_link
# {% endif %}
from app.users.models import User
from app.users.schemas import UserOut

blueprint = Blueprint("users", __name__, url_prefix=f"{PREFIX}/users")


# {% if "jwt" in components %}
@blueprint.before_request
def authorize() -> None:
    """Admins may call every route; other users only those of their own record."""
    user_id = (request.view_args or {}).get("user_id")
    if request.method != "OPTIONS" and not may_access(user_id):
        raise Forbidden("Only admins may do this.")


# {% endif %}
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
    """List users, oldest first."""
    return with_link(service.list_page(query), query)
# {% else %}
@blueprint.get("")
@endpoint(returns=UserList)
def list_users() -> dict[str, Any]:
    """List users, oldest first."""
    return {"items": service.list_all()}
# {% endif %}


@blueprint.get("/<id:user_id>")
@endpoint(returns=UserOut)
def get_user(user_id: Id) -> User:
    """Get a user."""
    return service.get(user_id)


@blueprint.put("/<id:user_id>")
@endpoint(returns=UserOut, errors=(409,))
def replace_user(user_id: Id, body: UserIn) -> User:
    """Replace a user's e-mail address and name."""
    return service.update(user_id, body)


@blueprint.patch("/<id:user_id>")
@endpoint(returns=UserOut, errors=(409,))
def change_user(user_id: Id, body: UserPatch) -> User:
    """Change some of a user's fields."""
    # {% if "jwt" in components %}
    if "role" in body.model_fields_set and not current_user.is_admin:
        raise Forbidden("Only admins may change roles.")
    # {% endif %}
    return service.update(user_id, body)


# {% if "jwt" in components %}
@blueprint.delete("/<id:user_id>")
@endpoint(status=204, errors=(409,))
def delete_user(user_id: Id) -> None:
    """Delete a user. Their tokens stop working at once."""
    service.delete(user_id)
# {% else %}
@blueprint.delete("/<id:user_id>")
@endpoint(status=204)
def delete_user(user_id: Id) -> None:
    """Delete a user."""
    service.delete(user_id)
# {% endif %}
