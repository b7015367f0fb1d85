"""The table of posts."""

from datetime import datetime

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.database import NO_ID_TWICE, Base, UtcDateTime, now


class Post(Base):
    """An entry of the feed."""

    __tablename__ = "posts"
    __table_args__ = (
        Index("ix_posts_created_at_id", "created_at", "id"),  # the feed's order
        NO_ID_TWICE,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(String(10_000), default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
