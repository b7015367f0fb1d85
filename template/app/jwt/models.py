"""The tables of credentials and revoked tokens."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.database import Base, UtcDateTime
from app.users.models import User


class Credentials(Base):
    """The password of a user. Users without one cannot log in."""

    __tablename__ = "credentials"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    password_hash: Mapped[str] = mapped_column(String(255))
    user: Mapped[User] = relationship()


class Revocation(Base):
    """A used refresh token or a revoked family, kept until all its tokens have expired."""

    __tablename__ = "revocations"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
