"""The job ``checksum``: an example to copy."""

from hashlib import sha256

from app.api import Schema
from app.celery.registry import job


class ChecksumIn(Schema):
    """The text to hash."""

    text: str


@job("checksum")
def checksum(body: ChecksumIn) -> dict[str, str]:
    return {"sha256": sha256(body.text.encode()).hexdigest()}
