"""One model's folder in the Hub's cache, as huggingface_hub lays it out, for files we fetch ourselves.

``models--org--name/blobs/ETAG`` holds a file, ``snapshots/COMMIT/NAME`` links to it, and
``.locks/models--org--name/ETAG.lock`` keeps two programs from fetching it at once. A file that is
not whole yet ends in ``.hugweb.incomplete``. Asks no Hub.
Source: huggingface_hub's documentation of its cache.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from inference.store.watch import Watch

PARTIAL = ".hugweb.incomplete"
LOCK_SECONDS = 0.5


def name_of(folder: Path) -> str:
    """The model whose folder in the cache this is."""
    return folder.name.removeprefix("models--").replace("--", "/")


@dataclass(frozen=True)
class HubFolder:
    """The folder of the model ``name`` in ``cache``."""

    cache: Path
    name: str

    @property
    def folder(self) -> Path:
        return self.cache / f"models--{self.name.replace('/', '--')}"

    def blob(self, etag: str) -> Path:
        return self.folder / "blobs" / etag

    def partial(self, etag: str) -> Path:
        return self.folder / "blobs" / f"{etag}{PARTIAL}"

    def snapshot(self, commit: str) -> Path:
        return self.folder / "snapshots" / commit

    def has(self, commit: str, file: str) -> bool:
        """Whether the file is where programs look for it."""
        return (self.snapshot(commit) / file).is_file()

    def here(self, commit: str, file: str, etag: str) -> int:
        """How many bytes of a file are on this machine, complete or not."""
        for path in (self.snapshot(commit) / file, self.blob(etag), self.partial(etag)):
            with contextlib.suppress(OSError):
                return path.stat().st_size
        return 0

    def place(self, commit: str, file: str, etag: str) -> None:
        """Put the blob where programs look for the file."""
        path, blob = self.snapshot(commit) / file, self.blob(etag)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        try:
            path.symlink_to(os.path.relpath(blob, path.parent))
        except OSError:
            blob.rename(path)

    def tidy(self, wanted: Collection[str]) -> None:
        """Delete what is left of downloads of other files than ``wanted``, by their etags."""
        for path in self.folder.glob(f"blobs/*{PARTIAL}"):
            etag = path.name.removesuffix(PARTIAL)
            if etag not in wanted:
                # One that is locked is being downloaded: somebody wants another revision.
                with contextlib.suppress(Timeout), self._lock(etag).acquire(timeout=0):
                    path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self, etag: str, watch: Watch) -> Iterator[None]:
        """Hold the file's lock, which other programs and other homes hold too."""
        lock = self._lock(etag)
        while not _acquired(lock):
            watch.note("Another program downloads the same file: waiting for it.")
            watch.wait(LOCK_SECONDS)
        watch.note("")
        try:
            yield
        finally:
            lock.release()

    def _lock(self, etag: str) -> BaseFileLock:
        path = self.cache / ".locks" / self.folder.name / f"{etag}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path, mode=0o664)


def _acquired(lock: BaseFileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True
