"""Models as files: numbers and names, and nothing that runs when it is read.

``current.json`` names the version that serves and the SHA-256 of its manifest; a version is a
folder of that name, whose ``manifest.json`` has the SHA-256 of each other file. A version is there
whole or not at all, and stays as it is.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar
from uuid import uuid4

from click import ClickException
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

LOCK_TIMEOUT = 120  # seconds

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Version = Annotated[str, Field(pattern="^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$")]


class ModelError(ClickException):
    """The model cannot serve. The message says why and what to do, and names no path."""


class ModelMissingError(ModelError):
    """There is no model yet."""


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Current(Document):
    """Which version serves."""

    version: Version
    sha256: Digest


class Reference(Document):
    """What the trained model answers to some rows, so that any engine can be checked by it."""

    rows: list[list[float]]
    proba: list[list[float]]


class Manifest(Document):
    """What is known of a version. ``accuracy``, on data it did not see, is from 0 to 1."""

    format: Literal[1] = 1
    version: Version
    labels: list[str]
    features: list[str]
    accuracy: float | None
    libraries: dict[str, str]
    files: dict[str, Digest]
    reference: Reference

    @model_validator(mode="after")
    def check_shapes(self) -> Self:
        rows, proba = self.reference.rows, self.reference.proba
        if not rows or len(rows) != len(proba) or len(set(self.labels)) != len(self.labels):
            raise ValueError("rows without an answer, or labels twice")
        if {len(row) for row in rows} != {len(self.features)}:
            raise ValueError("rows of other lengths than the features")
        if {len(row) for row in proba} != {len(self.labels)}:
            raise ValueError("answers of other lengths than the labels")
        return self


D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class Store:
    """All versions of one component's model.

    Args:
        root: their folder.
        component: its name; ``flask train-<component>`` trains.
        features: how many numbers the model takes.
    """

    root: Path
    component: str
    features: int

    @property
    def remedy(self) -> str:
        """What to do about a model that cannot serve."""
        return f"train one with flask --app wsgi train-{self.component}"

    @property
    def is_empty(self) -> bool:
        return not (self.root / "current.json").exists()

    def read(self) -> "Artefact":
        """The version that serves.

        Raises:
            ModelMissingError: none does.
            ModelError: it was changed since it was written, or cannot be read.
        """
        try:
            document = (self.root / "current.json").read_bytes()
        except FileNotFoundError:
            raise ModelMissingError(f"There is no model yet: {self.remedy}.") from None
        except OSError:
            raise ModelError("The model cannot be read: look at its permissions.") from None
        current = self.parse(Current, document)
        folder = self.root / current.version
        content = self.read_checked(folder / "manifest.json", current.sha256)
        manifest = self.parse(Manifest, content)
        if len(manifest.features) != self.features:
            raise ModelError(f"The model does not take {self.features} numbers: {self.remedy}.")
        return Artefact(self, folder, manifest)

    def parse(self, model: type[D], document: bytes) -> D:
        try:
            return model.model_validate_json(document)
        except ValidationError:
            raise ModelError(
                f"The model's files are not of this service's format: {self.remedy}."
            ) from None

    def read_checked(self, path: Path, digest: str) -> bytes:
        try:
            content = path.read_bytes()
        except OSError:
            raise ModelError(f"The model's {path.name} cannot be read: {self.remedy}.") from None
        if sha256(content).hexdigest() != digest:
            raise ModelError(
                f"The model's {path.name} was changed since it was written: {self.remedy}."
            )
        return content

    def write(
        self,
        files: Mapping[str, bytes],
        *,
        labels: list[str],
        features: list[str],
        accuracy: float | None,
        reference: Reference,
        libraries: tuple[str, ...],
    ) -> Manifest:
        """Keep a new version, and have it serve from the next start on; raises ``OSError``.

        Of the libraries, which have to be installed, their versions are kept.
        """
        manifest = Manifest(
            version=f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}",
            labels=labels,
            features=features,
            accuracy=accuracy,
            libraries={name: installed_version(name) for name in libraries},
            files={name: sha256(content).hexdigest() for name, content in files.items()},
            reference=reference,
        )
        document = manifest.model_dump_json(indent=1).encode()
        folder = self.root / manifest.version
        folder.mkdir(parents=True)
        for name, content in {**files, "manifest.json": document}.items():
            (folder / name).write_bytes(content)
        current = Current(version=manifest.version, sha256=sha256(document).hexdigest())
        partial = self.root / f"current.{manifest.version}.partial"
        partial.write_text(current.model_dump_json(), encoding="utf-8")
        os.replace(partial, self.root / "current.json")
        return manifest

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one process at a time into the block; ``OSError`` where the folder is read-only.

        SQLite's lock works on every system, and ends with the process that holds it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            connection = sqlite3.connect(
                self.root / "lock", timeout=LOCK_TIMEOUT, isolation_level=None
            )
        except sqlite3.Error as error:
            raise OSError(f"the folder cannot be locked: {error}") from None
        with closing(connection):
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                raise OSError(f"the folder cannot be locked: {error}") from None
            yield


@dataclass(frozen=True)
class Artefact:
    """A version whose manifest is what was written."""

    store: Store
    folder: Path
    manifest: Manifest

    def read(self, name: str) -> bytes:
        """A file's bytes, which are those that were written; ``ModelError`` where they are not."""
        if name not in self.manifest.files:
            raise ModelError(f"The model was trained without {name}: {self.store.remedy}.")
        return self.store.read_checked(self.folder / name, self.manifest.files[name])

    def broken(self, name: str) -> ModelError:
        """What to raise where a library cannot load a file."""
        return ModelError(f"The model's {name} cannot be loaded: {self.store.remedy}.")

    def check_libraries(self, readers: tuple[str, ...]) -> None:
        """Refuse another version of a library that reads the files, whatever it was built for."""
        for library in readers:
            trained, _, _ = self.manifest.libraries.get(library, "unknown").partition("+")
            installed, _, _ = installed_version(library).partition("+")
            if trained != installed:
                raise ModelError(
                    f"The model was made with {library} {trained}, and {installed} is installed: "
                    f"{self.store.remedy}."
                )
