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
from app.serving.data import Dataset


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

    def read(self) -> Manifest:
        """The manifest of the version to serve.

        Raises:
            ModelMissingError: There is none.
            ModelError: It can't be read.
        """
        try:
            version = (self.root / "current").read_text()
            content = (self.root / version / "manifest.json").read_bytes()
            return Manifest.model_validate_json(content)
        except FileNotFoundError:
            raise ModelMissingError(f"There is no model yet: {self.remedy}.") from None
        except (OSError, UnicodeError, ValidationError):
            raise ModelError(f"The model's manifest can't be read: {self.remedy}.") from None

    def load(self, manifest: Manifest, name: str, loader: Callable[[bytes], Compute]) -> Compute:
        """Load a file; raises ``ModelError`` if it is missing, was changed or isn't valid."""
        if name not in manifest.files:
            raise ModelError(f"The model was trained without {name}: {self.remedy}.")
        try:
            content = (self.root / manifest.version / name).read_bytes()
            if sha256(content).hexdigest() == manifest.files[name]:
                return loader(content)
        except ImportError:
            raise
        except Exception as error:  # libraries raise what they like for a file they can't read
            raise ModelError(f"{name} can't be loaded: {self.remedy}.") from error
        raise ModelError(f"{name} doesn't match its checksum: {self.remedy}.")

    def write(
        self,
        files: Mapping[str, bytes],
        data: Dataset,
        accuracy: float,
        reference: Reference,
        libraries: tuple[str, ...],
    ) -> Manifest:
        """Add a version, trained on ``data``, and make it the current one.

        Args:
            libraries: Installed packages whose versions the manifest records.

        Raises:
            OSError: The folder can't be written.
        """
        manifest = Manifest(
            version=f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}",
            labels=data.labels,
            features=data.features,
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
