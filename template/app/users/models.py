"""The table of users."""

from datetime import datetime
# {% if "jwt" in components %}
from typing import Literal
# {% endif %}

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base, UtcDateTime, now
# {% if "jwt" in components %}

Role = Literal["user", "admin"]
# {% endif %}


class User(Base):
    """A person; ``email`` is unique and in lower case."""

    __tablename__ = "users"
    __table_args__ = ({"sqlite_autoincrement": True},)  # never reuse the id of a deleted user

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(120))
    # {% if "jwt" in components %}
    role: Mapped[Role] = mapped_column(String(20), default="user", server_default="user")
    # {% endif %}
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    # {% if "jwt" in components %}

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"
    # {% endif %}
