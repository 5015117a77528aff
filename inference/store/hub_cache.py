"""The Hub's cache on this machine, as huggingface_hub lays it out and other programs use it too.

``models--org--name/snapshots/COMMIT`` holds links to blobs, ``refs/BRANCH`` names a commit. Asks
no Hub.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from huggingface_hub import constants, scan_cache_dir, snapshot_download
from huggingface_hub.errors import (
    CacheNotFound,
    HFValidationError,
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
)

from inference.store.description import model_describe
from inference.store.errors import ModelRefused, disk_errors
from inference.store.listing import Listing, folder_list

CACHE = Path(constants.HF_HUB_CACHE).absolute()


def snapshot_find(name: str, revision: str | None) -> Listing | None:
    """The snapshot of a model, if there is one that is whole."""
    try:
        folder = snapshot_download(name, revision=revision, local_files_only=True)
    except IncompleteSnapshotError as error:
        # Whole repositories are seldom fetched; what the model needs may well be there.
        folder = error.snapshot_path
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    try:
        listing = folder_list(Path(folder))
        model_describe(listing)
    except ModelRefused:
        return None
    return listing


def commit_note(snapshot: Path, revision: str) -> None:
    """Note which commit ``revision`` is, for whoever looks for it without the Hub."""
    if revision == snapshot.name:
        return
    reference = snapshot.parent.parent / "refs" / revision
    with disk_errors():
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(snapshot.name, encoding="ascii")


def snapshot_delete(snapshot: Path) -> None:
    """Delete a snapshot, and of its files those that no other revision needs."""
    snapshot = snapshot.resolve()
    repository = snapshot.parent.parent
    try:
        cache = scan_cache_dir(repository.parent)
    except CacheNotFound:
        return
    # A commit may be in several repositories, and only one of them is meant.
    only = replace(cache, repos=frozenset(repo for repo in cache.repos if repo.repo_path == repository))
    if any(revision.snapshot_path == snapshot for repo in only.repos for revision in repo.revisions):
        only.delete_revisions(snapshot.name).execute()
