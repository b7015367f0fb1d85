"""The tables of accounts and of what is revoked."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.database import NO_ID_TWICE, Base, UtcDateTime, now


class Account(Base):
    """Somebody who can log in; ``email`` is unique and in lower case."""

    __tablename__ = "accounts"
    __table_args__ = NO_ID_TWICE

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Revocation(Base):
    """A used refresh token or a revoked family, until no token of it could be valid any more."""

    __tablename__ = "revocations"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
