"""Fetches files of a repository into the Hub's cache, each once, however many programs want it."""

from __future__ import annotations

from collections.abc import Collection

from huggingface_hub import constants

from inference.store.download import HubFile, file_download
from inference.store.drafts import room_check
from inference.store.errors import ModelRefused
from inference.store.hub_cache import CACHE
from inference.store.hub_errors import hub_errors
from inference.store.progress import FileProgress
from inference.store.repository import Repository
from inference.store.watch import Watch


def files_plan(repository: Repository, names: Collection[str], watch: Watch) -> None:
    """Look what there is to fetch; raises where that cannot be done."""
    repository.folder.tidy({file.etag for file in repository.files.values()})
    wanted = [repository.files[name] for name in names]
    for file in wanted:
        if file.size > constants.MAX_HTTP_DOWNLOAD_SIZE:
            raise ModelRefused(
                f"{file.name} is so large that the Hub gives it to its own program only. "
                f"Run `hf download {repository.name}`, then pull the model again."
            )
    watch.plan(_planned(repository, file) for file in wanted)
    room_check(CACHE, watch.left)


def files_fetch(repository: Repository, names: Collection[str], watch: Watch) -> dict[str, str]:
    """Fetch these files unless they are here; the SHA-256 of those that were checked on the way."""
    watch.step("fetching")
    checked = {}
    for name in names:
        file = repository.files[name]
        if _fetch(repository, file, watch) and file.sha256:
            checked[name] = file.sha256
        watch.count(name, file.size)
    return checked


def _fetch(repository: Repository, file: HubFile, watch: Watch) -> bool:
    """Whether the file had to be fetched."""
    folder = repository.folder
    with hub_errors(repository.name, repository.commit):
        if folder.has(repository.commit, file.name):
            return False
        with folder.locked(file.etag, watch):
            missing = not folder.blob(file.etag).exists()
            if missing:
                file_download(file, folder.partial(file.etag), folder.blob(file.etag), watch)
            folder.place(repository.commit, file.name, file.etag)
    return missing


def _planned(repository: Repository, file: HubFile) -> FileProgress:
    here = repository.folder.here(repository.commit, file.name, file.etag)
    return FileProgress(file.name, file.size, min(here, file.size), file.sha256)
