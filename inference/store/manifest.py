"""What exactly a model consists of: each file's SHA-256 and size, and one digest over all.

The digest depends on names and bytes alone, so a model has the same one wherever it came from.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inference.store.listing import Listing

CHUNK = 2**20


@dataclass(frozen=True, order=True)
class Entry:
    """One file of a model."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """All files of a model."""

    entries: tuple[Entry, ...]

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.entries)

    @property
    def digest(self) -> str:
        lines = (f"{entry.sha256}  {entry.name}\n" for entry in sorted(self.entries))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def manifest_read(listing: Listing, known: Mapping[str, str] = {}) -> Manifest:
    """The manifest of files where they lie; ``known`` holds the SHA-256 of some, just checked."""
    return Manifest(tuple(_entry_read(listing.path(name), name, known.get(name)) for name in listing.files))


def manifest_copy(listing: Listing, target: Path) -> Manifest:
    """Copy the files into ``target``, for the owner only, and take their manifest on the way."""
    return Manifest(tuple(_entry_copy(listing.path(name), target, name) for name in listing.files))


def _entry_read(path: Path, name: str, known: str | None) -> Entry:
    with path.open("rb") as file:
        digest = known or hashlib.file_digest(file, "sha256").hexdigest()
        return Entry(name, digest, os.fstat(file.fileno()).st_size)


def _entry_copy(source: Path, root: Path, name: str) -> Entry:
    target = root / name
    for folder in reversed(target.parent.relative_to(root).parents):
        (root / folder).mkdir(mode=0o700, exist_ok=True)
    target.parent.mkdir(mode=0o700, exist_ok=True)
    digest = hashlib.sha256()
    target.touch(mode=0o600, exist_ok=False)
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(CHUNK):
            digest.update(chunk)
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
        return Entry(name, digest.hexdigest(), writer.tell())
