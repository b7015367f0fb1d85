"""The kind ``checksum``: the example to copy."""

from hashlib import sha256

from app.api import Schema
from app.celery.kinds import job


class ChecksumIn(Schema):
    """What is added up."""

    text: str


@job("checksum")
def checksum(given: ChecksumIn) -> dict[str, str]:
    return {"sha256": sha256(given.text.encode()).hexdigest()}
