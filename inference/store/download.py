"""One file from the Hub, however often the connection breaks.

What has arrived is kept in a partial file and asked for no second time, also after this process
was killed; huggingface_hub's own downloads begin anew. The file gets its name only when its
checksum is right. Knows nothing of models.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx2
from django.conf import settings
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from inference.store.errors import HubError
from inference.store.hub_errors import BROKEN_OFF, asks_to_wait, wait_asked
from inference.store.watch import Watch

READ = 2**20
LONGEST_DELAY_SECONDS = 30.0
# 416: what we have is longer than what the Hub has, so it is not the same.
TRANSIENT = frozenset({408, 416, 429, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes (\d+)-")


@dataclass(frozen=True)
class HubFile:
    """A file of a repository at one commit.

    ``etag`` is its checksum and its name in the Hub's cache: the SHA-256 of what Git LFS keeps,
    else the hash that Git gives it.
    """

    name: str
    url: str
    size: int
    etag: str

    @property
    def sha256(self) -> str:
        """The SHA-256, where the Hub tells it."""
        return self.etag if len(self.etag) == 64 else ""

    def hash(self) -> hashlib._Hash:
        """What computes ``etag``."""
        if self.sha256:
            return hashlib.sha256()
        return hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)


def file_download(file: HubFile, partial: Path, target: Path, watch: Watch) -> None:
    """Make ``target`` the file, by way of ``partial``, which stays where this is interrupted."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with partial.open("a+b") as writer:
            part = Part(file, writer)
            _receive_all(part, watch)
            writer.flush()
            os.fsync(writer.fileno())
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            # Whoever shares the disk needs the room more than a file that cannot be completed.
            partial.unlink(missing_ok=True)
        raise
    if part.etag() != file.etag:
        partial.unlink(missing_ok=True)
        raise HubError(f"{file.name} was damaged on the way and is deleted. Pull the model again.")
    partial.rename(target)


class Part:
    """The beginning of a file, and the checksum of it."""

    def __init__(self, file: HubFile, writer: BinaryIO) -> None:
        self.file = file
        self.done = 0
        self._writer = writer
        self._hash = file.hash()
        if os.fstat(writer.fileno()).st_size > file.size:
            self.restart()
        writer.seek(0)
        while chunk := writer.read(READ):
            self._hash.update(chunk)
            self.done += len(chunk)

    def restart(self) -> None:
        """Forget everything."""
        self._writer.truncate(0)
        self._writer.seek(0)
        self._hash = self.file.hash()
        self.done = 0

    def add(self, chunk: bytes) -> None:
        if self.done + len(chunk) > self.file.size:
            self.restart()
            raise HubError(f"{self.file.name} is longer than the Hub says. Pull the model again.")
        self._writer.write(chunk)
        self._hash.update(chunk)
        self.done += len(chunk)

    def etag(self) -> str:
        return self._hash.hexdigest()


def _receive_all(part: Part, watch: Watch) -> None:
    """Receive until the file is whole; only attempts that brought nothing are counted."""
    watch.count(part.file.name, part.done)
    failures = 0
    while part.done < part.file.size:
        before = part.done
        try:
            _receive(part, watch)
            error: Exception | None = None
        except (httpx2.TransportError, HfHubHTTPError) as caught:
            error = caught
        if part.done >= part.file.size:
            return
        failures = 0 if part.done > before else failures + 1
        _pause(part, error, failures, watch)


def _receive(part: Part, watch: Watch) -> None:
    """Receive what one connection gives."""
    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    if part.done:
        headers["Range"] = f"bytes={part.done}-"
    timeout = httpx2.Timeout(constants.HF_HUB_DOWNLOAD_TIMEOUT)
    with get_session().stream("GET", part.file.url, headers=headers, timeout=timeout) as response:
        hf_raise_for_status(response)
        if _start(response) != part.done:
            # The whole file comes, or another part than was asked for.
            part.restart()
        if _start(response) != part.done:
            return
        for chunk in response.iter_bytes():
            part.add(chunk)
            watch.count(part.file.name, part.done)


def _start(response: httpx2.Response) -> int:
    """At which byte of the file the response begins."""
    found = _RANGE.match(response.headers.get("Content-Range", ""))
    return int(found[1]) if response.status_code == 206 and found else 0


def _pause(part: Part, error: Exception | None, failures: int, watch: Watch) -> None:
    """Wait before the next attempt; raises where another one is of no use."""
    asked = 0.0
    if isinstance(error, HfHubHTTPError):
        if error.response.status_code not in TRANSIENT:
            raise error
        if error.response.status_code == 416:
            part.restart()
        asked = wait_asked(error)
    if failures > settings.RETRY_ATTEMPTS:
        if isinstance(error, HfHubHTTPError):
            raise error
        raise HubError(BROKEN_OFF) from error
    delay = settings.RETRY_DELAY_SECONDS * 2 ** max(0, failures - 1)
    watch.note(asks_to_wait(asked) if asked else "The connection broke off: trying again.")
    watch.wait(asked or min(delay, LONGEST_DELAY_SECONDS))
    watch.note("")
