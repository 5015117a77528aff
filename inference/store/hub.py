"""Models from the Hub: asked for, checked, downloaded into the Hub's own cache, described.

Everything is pinned to one commit, and the small files are checked before the weights are
fetched. Each file is fetched by itself, since ``snapshot_download`` lists a repository without a
timeout. Knows nothing of the store's folders and of the database.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.utils import disable_progress_bars

from inference.store.architectures import model_type_read
from inference.store.card import license_check
from inference.store.configs import MAIN, config_read, config_require
from inference.store.drafts import room_check
from inference.store.errors import HubError, disk_errors
from inference.store.hub_cache import CACHE, commit_note, missing_bytes, snapshot_find
from inference.store.hub_errors import STRANGE, hub_errors
from inference.store.listing import Listing, names_sort
from inference.store.manifest import manifest_read
from inference.store.names import model_name_check, revision_check
from inference.store.services import Taken, model_take_snapshot
from inference.store.weights import safetensors_require

Report = Callable[[str], None]
PATIENCE_SECONDS = 10.0
COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class Repository:
    """A repository at one commit: which of its files are taken, their sizes and known SHA-256.

    ``revision`` is what was asked for: a branch, a tag or the commit itself.
    """

    name: str
    revision: str
    commit: str
    listing: Listing
    sizes: dict[str, int]
    sums: dict[str, str]
    license: str


def hub_pull(
    *, name: str, revision: str | None = None, patience: float = PATIENCE_SECONDS, report: Report
) -> Taken:
    """Take a model from the Hub; from its cache on this machine when the Hub gives no answer."""
    model_name_check(name)
    if revision is not None:
        revision_check(revision)
    try:
        repository = _ask(name, revision, patience)
    except HubError:
        listing = snapshot_find(name, revision)
        if listing is None:
            raise
        report("The Hub gives no answer: taking the copy in its cache on this machine.")
        return _take(listing, name, listing.root.name)
    listing = _fetch(repository, patience, report)
    report("Checking the files.")
    return _take(listing, name, repository.commit, repository.sums, repository.license)


def _ask(name: str, revision: str | None, patience: float) -> Repository:
    # A host may have a dozen addresses, each of which is given the time to connect.
    timeout = httpx2.Timeout(patience, connect=patience / 3)
    with hub_errors(name, revision):
        info = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=timeout)
    siblings = {file.rfilename: file for file in info.siblings or ()}
    if not COMMIT.fullmatch(info.sha or ""):
        raise HubError(STRANGE)
    listing = Listing(Path(), *names_sort(siblings))
    config_require(listing)
    safetensors_require(listing)
    return Repository(
        name=name,
        revision=revision or constants.DEFAULT_REVISION,
        commit=info.sha,
        listing=listing,
        sizes={file: siblings[file].size or 0 for file in listing.files},
        sums={file: siblings[file].lfs.sha256 for file in listing.files if siblings[file].lfs},
        license=license_check(info.card_data.license if info.card_data else ""),
    )


def _fetch(repository: Repository, patience: float, report: Report) -> Listing:
    """The files on this machine: the small ones first, and the weights once those were checked."""
    weights = repository.listing.safetensors()
    rest = [name for name in repository.listing.files if name not in weights]
    room_check(CACHE, missing_bytes(repository.name, repository.commit, repository.sizes))
    size = sum(repository.sizes.values())
    report(f"Downloading {repository.name}: {len(repository.sizes)} files, {size / 1e9:.1f} GB.")
    listing = repository.listing.below(_download(repository, rest, patience).parent)
    model_type_read(config_read(listing))
    for number, name in enumerate(weights, 1):
        report(f"Downloading {name}, {repository.sizes[name] / 1e9:.1f} GB ({number} of {len(weights)}).")
        _download(repository, [name], patience)
    commit_note(listing.root, repository.revision)
    return listing


def _download(repository: Repository, names: list[str], patience: float) -> Path:
    """Fetch these files, unless they are in the cache; the path of the main configuration."""
    disable_progress_bars()
    with hub_errors(repository.name, repository.commit):
        for name in names:
            hf_hub_download(repository.name, name, revision=repository.commit, etag_timeout=patience)
        path = hf_hub_download(repository.name, MAIN, revision=repository.commit, etag_timeout=patience)
    return Path(path).absolute()


def _take(listing: Listing, name: str, commit: str, sums: Mapping[str, str] = {}, license: str = "") -> Taken:
    with disk_errors():
        manifest = manifest_read(listing)
    for entry in manifest.entries:
        if sums.get(entry.name, entry.sha256) != entry.sha256:
            # What stayed in the cache would not be downloaded again.
            listing.path(entry.name).resolve().unlink(missing_ok=True)
            raise HubError(f"{entry.name} was damaged on the way and is deleted. Pull the model again.")
    return model_take_snapshot(
        listing=listing, manifest=manifest, name=name, revision=commit, license=license
    )
