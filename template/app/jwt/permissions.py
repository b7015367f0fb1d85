"""Who may do what: users manage what is their own, admins everything.

What a user creates carries their ``owner_id``. Respond to a request for something of another user
with 403 if everybody can see that it exists, else with 404.
"""

from flask_jwt_extended import current_user


def owner_id() -> int:
    """The id of the user who sent the request."""
    user_id: int = current_user.id
    return user_id


def may_access(owner_id: int | None) -> bool:
    """Whether the user who sent the request owns this or is an admin."""
    return bool(current_user.is_admin or current_user.id == owner_id)
