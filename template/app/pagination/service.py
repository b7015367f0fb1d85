"""What can be done with posts, whoever asks."""

from sqlalchemy import select

from app.database import db
from app.pagination.cursor import Page, PageQuery, paginate
from app.pagination.models import Post
from app.pagination.schemas import PostIn


def create(data: PostIn) -> Post:
    """Store a new post."""
    post = Post(**data.model_dump())
    db.session.add(post)
    db.session.commit()
    return post


def get(post_id: int) -> Post:
    """One post; ``werkzeug.exceptions.NotFound`` where there is none."""
    return db.get_or_404(Post, post_id, description="There is no such post.")


def list_page(query: PageQuery) -> Page[Post]:
    """A page of the feed, newest first."""
    return paginate(select(Post), [Post.created_at, Post.id], query, descending=True)
