"""The table of posts."""

from datetime import datetime

# {% if "jwt" in components %}
from sqlalchemy import ForeignKey, Index, String
# {% else %}
from sqlalchemy import Index, String
# {% endif %}
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base, UtcDateTime, now


class Post(Base):
    """An entry of the feed."""

    __tablename__ = "posts"
    __table_args__ = (
        Index("ix_posts_created_at_id", "created_at", "id"),  # the feed's order
        {"sqlite_autoincrement": True},  # never reuse the id of a deleted post
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(String(10_000), default="")
    # {% if "jwt" in components %}
    owner_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    # {% endif %}
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
