"""A model made of blobs: each under the name that the client gives it, then taken in like any folder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from django.conf import settings

from inference.errors import InvalidRequest
from inference.store.blobs import blob_find
from inference.store.drafts import scratch_folder
from inference.store.errors import disk_errors
from inference.store.listing import MOST, names_sort
from inference.store.services import Taken, model_take_folder

_PART = "[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}"
_FILE = re.compile(rf"(?:{_PART}/){{0,4}}{_PART}")


def model_assemble(*, name: str, files: Mapping[str, str]) -> Taken:
    """Take in the model whose ``files`` map names to digests of blobs; errors as ``blobs_of``'s."""
    blobs = blobs_of(files)
    with disk_errors(), scratch_folder(Path(settings.MODELS_PATH)) as folder:
        for file, blob in blobs.items():
            target = folder / file
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.link(blob, target)
        return model_take_folder(folder=folder, name=name)


def blobs_of(files: Mapping[str, str]) -> dict[str, Path]:
    """Where the file of each name lies.

    ``InvalidRequest`` for names that lead elsewhere or are no model's, ``NotFound`` for a blob that
    was not sent.
    """
    if any(file.startswith("/") or ".." in file for file in files):
        raise InvalidRequest("file path must be relative")
    blobs = {file: blob_find(digest) for file, digest in files.items()}
    _check(files)
    return blobs


def _check(files: Mapping[str, str]) -> None:
    if len(files) > MOST:
        raise InvalidRequest(f"{len(files)} files are too many; at most {MOST} are taken.")
    taken, _ = names_sort(files)
    for file in files:
        parents = PurePosixPath(file).parents
        if file not in taken or not _FILE.fullmatch(file) or any(str(parent) in files for parent in parents):
            raise InvalidRequest(
                f"{file[:80]!r} cannot be part of a model: safetensors, configurations, tokenizers and "
                "templates can."
            )
