"""Trained models on disk.

Each version is a folder that is never changed: the model's files, and ``manifest.json`` with their
SHA-256 checksums. The file ``current`` holds the name of the version to serve.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version as installed_version
from pathlib import Path
from uuid import uuid4

from click import ClickException
from pydantic import BaseModel, ValidationError

from app.serving.batching import Compute


class ModelError(ClickException):
    """The model can't serve. The message says why and what to do."""


class ModelMissingError(ModelError):
    """No model has been trained yet."""


class Reference(BaseModel):
    """Rows, and the probabilities that the trained model gave for them."""

    rows: list[list[float]]
    proba: list[list[float]]


class Manifest(BaseModel):
    """What is known about a version. ``accuracy`` is from 0 to 1, on data not used to train."""

    version: str
    labels: list[str]
    features: list[str]
    accuracy: float
    libraries: dict[str, str]
    files: dict[str, str]
    reference: Reference


@dataclass(frozen=True)
class Store:
    """All versions of a component's model, in the folder ``root``."""

    root: Path
    component: str

    @property
    def remedy(self) -> str:
        return f"train it with flask --app wsgi train-{self.component}"

    def read(self) -> "ModelVersion":
        """The version to serve.

        Raises:
            ModelMissingError: There is none.
            ModelError: Its manifest can't be read.
        """
        try:
            folder = self.root / (self.root / "current").read_text()
            manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
        except FileNotFoundError:
            raise ModelMissingError(f"There is no model yet: {self.remedy}.") from None
        except (OSError, UnicodeError, ValidationError):
            raise ModelError(f"The model's manifest can't be read: {self.remedy}.") from None
        return ModelVersion(self, folder, manifest)

    def write(
        self,
        files: Mapping[str, bytes],
        *,
        labels: list[str],
        features: list[str],
        accuracy: float,
        reference: Reference,
        libraries: tuple[str, ...],
    ) -> Manifest:
        """Add a version and make it the current one.

        Args:
            libraries: Installed packages whose versions the manifest records.

        Raises:
            OSError: The folder can't be written.
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
        folder = self.root / manifest.version
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        (folder / "manifest.json").write_text(manifest.model_dump_json(indent=1))
        new = self.root / f"{manifest.version}.current"
        new.write_text(manifest.version)
        os.replace(new, self.root / "current")  # atomic: a reader sees the old or the new name
        return manifest


@dataclass(frozen=True)
class ModelVersion:
    """A version of a model."""

    store: Store
    folder: Path
    manifest: Manifest

    def read(self, name: str) -> bytes:
        """The content of a file; ``ModelError`` if it is missing or was changed."""
        if name not in self.manifest.files:
            raise ModelError(f"The model was trained without {name}: {self.store.remedy}.")
        try:
            content = (self.folder / name).read_bytes()
        except OSError:
            raise ModelError(f"{name} can't be read: {self.store.remedy}.") from None
        if sha256(content).hexdigest() != self.manifest.files[name]:
            raise ModelError(f"{name} doesn't match its checksum: {self.store.remedy}.")
        return content

    def load(self, name: str, loader: Callable[[bytes], Compute]) -> Compute:
        """Load a file; raises ``ModelError`` if it is missing, was changed or isn't valid."""
        content = self.read(name)
        try:
            return loader(content)
        except ImportError:
            raise
        except Exception as error:  # libraries raise what they like for a file they can't read
            raise ModelError(f"{name} can't be loaded: {self.store.remedy}.") from error
