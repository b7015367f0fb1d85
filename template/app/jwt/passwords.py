"""Password hashes: argon2id, with parameters that can be raised later."""

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from flask import Flask, current_app


class Passwords:
    """One application's hasher, and a hash to check against where there is no account."""

    def __init__(self, memory_cost: int, time_cost: int) -> None:
        self.hasher = PasswordHasher(time_cost, memory_cost)
        # Written down, not computed: a hash would delay the start of every process.
        costs = f"m={memory_cost},t={time_cost},p={self.hasher.parallelism}"
        self.decoy = f"$argon2id$v=19${costs}${'A' * 22}${'A' * 43}"


def init_app(app: Flask) -> None:
    app.extensions["passwords"] = Passwords(
        app.config["PASSWORD_MEMORY_COST"], app.config["PASSWORD_TIME_COST"]
    )


def get_passwords() -> Passwords:
    passwords: Passwords = current_app.extensions["passwords"]
    return passwords


def hash_password(password: str) -> str:
    return get_passwords().hasher.hash(password)


def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether the password fits; takes as long where there is no hash as where it is wrong."""
    passwords = get_passwords()
    try:
        passwords.hasher.verify(password_hash or passwords.decoy, password)
    except VerificationError:
        return False
    return password_hash is not None


def is_outdated(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than new ones are."""
    return get_passwords().hasher.check_needs_rehash(password_hash)
