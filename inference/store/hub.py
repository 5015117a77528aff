"""Models from the Hub: asked for, checked, downloaded into the Hub's own cache, described.

Everything is pinned to one commit, and the small files are checked before the weights are
fetched. Knows nothing of the store's folders and of the database.
"""

from __future__ import annotations

from collections.abc import Mapping

from inference.store.architectures import model_type_read
from inference.store.configs import config_read, config_require
from inference.store.errors import HubError, disk_errors
from inference.store.fetching import files_fetch, files_plan
from inference.store.hub_cache import commit_note, snapshot_find
from inference.store.listing import Listing, names_sort
from inference.store.manifest import Manifest, manifest_read
from inference.store.repository import PATIENCE_SECONDS, Repository, repository_ask
from inference.store.services import Taken, model_take_snapshot
from inference.store.watch import Watch
from inference.store.weights import safetensors_require


def hub_pull(
    *, name: str, revision: str | None = None, patience: float = PATIENCE_SECONDS, watch: Watch
) -> Taken:
    """Take a model from the Hub; from its cache on this machine when the Hub gives no answer."""
    try:
        repository = repository_ask(name, revision, patience, watch)
    except HubError:
        listing = snapshot_find(name, revision)
        if listing is None:
            raise
        watch.step("checking", "The Hub gives no answer: taking the copy in its cache on this machine.")
        with disk_errors():
            manifest = manifest_read(listing)
        return model_take_snapshot(listing=listing, manifest=manifest, name=name, revision=listing.root.name)
    return _take(repository, watch)


def _take(repository: Repository, watch: Watch) -> Taken:
    listing = Listing(repository.folder.snapshot(repository.commit), *names_sort(repository.files))
    config_require(listing)
    safetensors_require(listing)
    checked = _fetch(repository, listing, watch)
    watch.step("checking")
    with disk_errors():
        manifest = manifest_read(listing, known=checked)
    _compare(repository, listing, manifest)
    return model_take_snapshot(
        listing=listing,
        manifest=manifest,
        name=repository.name,
        revision=repository.commit,
        license=repository.license,
    )


def _fetch(repository: Repository, listing: Listing, watch: Watch) -> Mapping[str, str]:
    """Fetch the small files, and the weights once those were checked; SHA-256 by name, where known."""
    weights = listing.safetensors()
    files_plan(repository, listing.files, watch)
    small = files_fetch(repository, [name for name in listing.files if name not in weights], watch)
    model_type_read(config_read(listing))
    large = files_fetch(repository, weights, watch)
    commit_note(listing.root, repository.revision)
    return small | large


def _compare(repository: Repository, listing: Listing, manifest: Manifest) -> None:
    """``HubError`` for a file that was here and is not what the Hub has; it is deleted."""
    for entry in manifest.entries:
        if repository.files[entry.name].sha256 not in {"", entry.sha256}:
            # What stayed in the cache would not be downloaded again.
            listing.path(entry.name).resolve().unlink(missing_ok=True)
            raise HubError(f"{entry.name} was damaged on this machine and is deleted. Pull the model again.")
