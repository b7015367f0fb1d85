"""Password hashes: argon2id, with costs that can be raised later."""

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from flask import current_app


def hasher() -> PasswordHasher:
    config = current_app.config
    # One thread for each hash: the server has threads for concurrent requests, and new ones could
    # receive SIGTERM in the place of the main thread, which waits for it.
    return PasswordHasher(config["PASSWORD_TIME_COST"], config["PASSWORD_MEMORY_COST"], 1)


def hash_password(password: str) -> str:
    return hasher().hash(password)


def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether the password matches the hash; without a hash, False after the same time."""
    if password_hash is None:
        hash_password(password)  # response times must not reveal which accounts exist
        return False
    try:
        return hasher().verify(password_hash, password)
    except VerificationError:
        return False


def needs_rehash(password_hash: str) -> bool:
    """Whether the hash was made with other costs than the configured ones."""
    return hasher().check_needs_rehash(password_hash)
