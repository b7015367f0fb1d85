"""``/api/v1/posts``."""

from typing import Any

from flask import Blueprint, url_for

from app.api import PREFIX, endpoint
from app.database import Id
from app.pagination import service
from app.pagination.cursor import PageQuery, with_link
from app.pagination.models import Post
from app.pagination.schemas import PostIn, PostOut, PostPage

blueprint = Blueprint("posts", __name__, url_prefix=f"{PREFIX}/posts")


@blueprint.get("")
@endpoint(returns=PostPage)
def list_posts(query: PageQuery) -> tuple[Any, dict[str, str]]:
    """List posts, newest first."""
    return with_link(service.list_page(query), query)


@blueprint.post("")
@endpoint(returns=PostOut, status=201)
def create_post(body: PostIn) -> tuple[Post, dict[str, str]]:
    """Add a post to the feed."""
    post = service.create(body)
    return post, {"Location": url_for("posts.get_post", post_id=post.id)}


@blueprint.get("/<id:post_id>")
@endpoint(returns=PostOut)
def get_post(post_id: Id) -> Post:
    """Get a post."""
    return service.get(post_id)


@blueprint.delete("/<id:post_id>")
@endpoint(status=204)
def delete_post(post_id: Id) -> None:
    """Delete a post."""
    service.delete(post_id)
