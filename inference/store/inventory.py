"""What of models lies on this machine: in the store, in the Hub's cache, and what nobody needs.

The disk is looked at, not only the rows: other programs put models into the Hub's cache and take
them out. Only reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from huggingface_hub import scan_cache_dir
from huggingface_hub.errors import CacheNotFound
from huggingface_hub.utils import CachedRepoInfo

from inference.models import ModelRecord
from inference.store.hub_cache import CACHE
from inference.store.hub_folder import name_of


@dataclass(frozen=True)
class Item:
    """A model's files in one place, or a row whose files are gone.

    ``folder`` is what would be deleted; in the Hub's cache it holds all ``revisions``. ``record``
    is ``None`` for a model that was not pulled, and ``whole`` tells whether its files are there.
    """

    name: str
    source: ModelRecord.Source
    folder: Path
    revisions: tuple[str, ...]
    size: int
    last_used: datetime | None
    record: ModelRecord | None
    whole: bool = True


def inventory(cache: Path = CACHE) -> list[Item]:
    """All models on this machine, by name."""
    records = {record.path.resolve(): record for record in ModelRecord.objects.filter(provider="huggingface")}
    found = [*_cached(cache, records), *_stored(records)]
    seen = {item.record for item in found}
    gone = [_gone(record) for record in records.values() if record not in seen]
    return sorted([*found, *gone], key=lambda item: item.name.lower())


def records_gone() -> list[ModelRecord]:
    """The rows whose files are not there any more, all or some."""
    records = ModelRecord.objects.filter(provider="huggingface").order_by("name")
    return [record for record in records if not _is_whole(record.path)]


def size_below(folder: Path) -> int:
    """The bytes of all files in a folder, each counted once."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _is_whole(folder: Path) -> bool:
    # In the Hub's cache files are links, and what they lead to may be gone.
    paths = list(folder.rglob("*"))
    return bool(paths) and all(path.exists() for path in paths)


def _cached(cache: Path, records: dict[Path, ModelRecord]) -> Iterator[Item]:
    try:
        scanned = {repo.repo_path: repo for repo in scan_cache_dir(cache).repos}
    except (CacheNotFound, ValueError):
        return
    for folder in cache.resolve().glob("models--*"):
        here = {path: record for path, record in records.items() if path.is_relative_to(folder)}
        record = next(iter(here.values()), None)
        repo = scanned.get(folder)
        yield Item(
            name=record.name if record else name_of(folder),
            source=ModelRecord.Source.HUB,
            folder=folder,
            revisions=tuple(sorted(revision.commit_hash for revision in repo.revisions)) if repo else (),
            size=size_below(folder),
            last_used=_last_used(record, repo),
            record=record,
            whole=bool(repo and repo.revisions) and all(map(_is_whole, here)),
        )


def _stored(records: dict[Path, ModelRecord]) -> Iterator[Item]:
    for path, record in records.items():
        if record.source == ModelRecord.Source.STORE and _is_whole(path):
            yield Item(
                record.name, ModelRecord.Source.STORE, path, (), size_below(path), record.last_used, record
            )


def _gone(record: ModelRecord) -> Item:
    source = ModelRecord.Source(record.source)
    return Item(record.name, source, record.path, (), 0, record.last_used, record, whole=False)


def _last_used(record: ModelRecord | None, repo: CachedRepoInfo | None) -> datetime | None:
    """When we used it, or else when any program read its files."""
    if record and record.last_used:
        return record.last_used
    return datetime.fromtimestamp(repo.last_accessed, UTC) if repo else None
