"""A repository on the Hub at one commit, as the Hub describes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import httpx2
from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError

from inference.store.card import license_check
from inference.store.download import TRANSIENT, HubFile
from inference.store.errors import HubError
from inference.store.hub_cache import CACHE
from inference.store.hub_errors import STRANGE, asks_to_wait, hub_errors, wait_asked
from inference.store.hub_folder import HubFolder
from inference.store.names import model_name_check, revision_check
from inference.store.watch import Watch

PATIENCE_SECONDS = 10.0
COMMIT = re.compile("[0-9a-f]{40}")
ETAG = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class Repository:
    """All files of a model at one commit, and the licence on its card.

    ``revision`` is what was asked for: a branch, a tag or the commit itself. ``gguf_architecture``
    is what the Hub says of its GGUF files, empty where it says nothing.
    """

    name: str
    revision: str
    commit: str
    files: dict[str, HubFile]
    license: str
    gguf_architecture: str = ""

    @property
    def folder(self) -> HubFolder:
        """Its folder in the Hub's cache on this machine."""
        return HubFolder(CACHE, self.name)


def repository_ask(name: str, revision: str | None, patience: float, watch: Watch) -> Repository:
    """Ask the Hub; ``patience`` is in seconds, and what the Hub asks to wait comes on top."""
    model_name_check(name)
    if revision is not None:
        revision_check(revision)
    watch.step("asking")
    # A host may have a dozen addresses, each of which is given the time to connect.
    timeout = httpx2.Timeout(patience, connect=patience / 3)
    with hub_errors(name, revision):
        while True:
            try:
                info = HfApi().model_info(name, revision=revision, files_metadata=True, timeout=timeout)
                return _repository(name, revision or constants.DEFAULT_REVISION, info)
            except HfHubHTTPError as error:
                wait = wait_asked(error) if error.response.status_code in TRANSIENT else 0
                if not wait:
                    raise
                watch.note(asks_to_wait(wait))
                watch.wait(wait)


def _repository(name: str, revision: str, info: Any) -> Repository:
    if not COMMIT.fullmatch(info.sha or ""):
        raise HubError(STRANGE)
    files = [_file(name, info.sha, sibling) for sibling in info.siblings or ()]
    card = info.card_data.license if info.card_data else ""
    gguf = info.gguf.get("architecture") if isinstance(info.gguf, dict) else ""
    return Repository(
        name=name,
        revision=revision,
        commit=info.sha,
        files={file.name: file for file in files},
        license=license_check(card),
        gguf_architecture=gguf if isinstance(gguf, str) else "",
    )


def _file(name: str, commit: str, sibling: Any) -> HubFile:
    _check_path(sibling.rfilename)
    etag = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    if not ETAG.fullmatch(etag or "") or type(sibling.size) is not int or sibling.size < 0:
        raise HubError(STRANGE)
    url = hf_hub_url(name, sibling.rfilename, revision=commit)
    return HubFile(sibling.rfilename, url, sibling.size, etag)


def _check_path(path: str) -> None:
    """Refuse what would lead out of the folder that the repository's files are put into."""
    if not path or "\\" in path or "\x00" in path or {"", ".", ".."} & set(path.split("/")):
        raise HubError(STRANGE)
