"""What can be done with posts, from a route, a command or a job."""

from sqlalchemy import select
# {% if "jwt" in components %}
from werkzeug.exceptions import Forbidden
# {% endif %}

from app.database import db
# {% if "jwt" in components %}
from app.jwt.permissions import may_access, owner_id
# {% endif %}
from app.pagination.cursor import Page, PageQuery, paginate
from app.pagination.models import Post
from app.pagination.schemas import PostIn


def create(data: PostIn) -> Post:
    """Store a new post."""
    # {% if "jwt" in components %}
    post = Post(**data.model_dump(), owner_id=owner_id())
    # {% else %}
    post = Post(**data.model_dump())
    # {% endif %}
    db.session.add(post)
    db.session.commit()
    return post


def get(post_id: int) -> Post:
    """Return a post; raises ``werkzeug.exceptions.NotFound``."""
    return db.get_or_404(Post, post_id, description="Post not found.")


def list_page(query: PageQuery) -> Page[Post]:
    """Return a page of the feed, newest first."""
    return paginate(select(Post), [Post.created_at, Post.id], query, descending=True)


# {% if "jwt" in components %}
def delete(post_id: int) -> None:
    """Delete a post; raises ``NotFound``, or ``Forbidden`` for the post of another user."""
    post = get(post_id)
    if not may_access(post.owner_id):
        raise Forbidden("This is the post of another user.")
    db.session.delete(post)
    db.session.commit()
# {% else %}
def delete(post_id: int) -> None:
    """Delete a post; raises ``werkzeug.exceptions.NotFound``."""
    db.session.delete(get(post_id))
    db.session.commit()
# {% endif %}
