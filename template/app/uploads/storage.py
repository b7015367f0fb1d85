"""Where uploads are kept. Names are made here: nothing that a client sends becomes a path."""

import shutil
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from uuid import UUID, uuid4

from app.uploads.content import CHUNK_SIZE
from app.uploads.schemas import UploadOut


class LocalStorage:
    """A folder with a folder for each upload, which holds its content and what is known of it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def save(self, stream: BinaryIO, filename: str, mime: str) -> UploadOut:
        """Store a stream. It is there whole or not at all; raises ``OSError``."""
        upload_id = uuid4()
        partial = self.root / f"{upload_id}.partial"
        partial.mkdir(parents=True)
        try:
            size, digest = copy(stream, partial / "content")
            upload = UploadOut(id=upload_id, filename=filename, mime=mime, size=size, sha256=digest)
            (partial / "upload.json").write_text(upload.model_dump_json(), encoding="utf-8")
            partial.rename(self.root / str(upload_id))
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return upload

    def get(self, upload_id: UUID) -> UploadOut | None:
        """What is known of an upload."""
        try:
            document = (self.root / str(upload_id) / "upload.json").read_bytes()
        except FileNotFoundError:
            return None
        return UploadOut.model_validate_json(document)

    def path(self, upload_id: UUID) -> Path:
        """The file with the content of an upload that is there."""
        return self.root / str(upload_id) / "content"


def copy(stream: BinaryIO, path: Path) -> tuple[int, str]:
    """Write a stream to a new file; its size in bytes and its SHA-256."""
    digest = sha256()
    with path.open("xb") as file:
        while chunk := stream.read(CHUNK_SIZE):
            file.write(chunk)
            digest.update(chunk)
        return file.tell(), digest.hexdigest()
