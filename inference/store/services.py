"""Writes models into the store and describes them in the database.

Each service ends with a complete model and its row, or with an error and everything as before.
Knows nothing of where files came from before they were a folder.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import transaction

from inference.models import ModelRecord
from inference.store.architectures import Kind
from inference.store.description import Description, model_describe
from inference.store.drafts import draft_folder, room_check
from inference.store.errors import disk_errors
from inference.store.listing import Listing, folder_list
from inference.store.manifest import Manifest, manifest_copy
from inference.store.names import model_name_check
from inference.store.swap import folder_place

PROVIDER = "huggingface"


@dataclass(frozen=True)
class Taken:
    """A model that was taken in, its kind, and the names of the files that were left out."""

    record: ModelRecord
    kind: Kind
    left_out: tuple[str, ...]


def model_take_folder(*, folder: Path, name: str) -> Taken:
    """Copy the model in ``folder`` into the store as ``name``, in place of an older one."""
    model_name_check(name)
    listing = folder_list(folder)
    # Twice: before gigabytes are copied, and of the copy, since that is what will be loaded.
    model_describe(listing)
    home = _stored_folder(name) or name
    final = Path(settings.MODELS_PATH, home)
    with disk_errors(), draft_folder(final) as draft:
        room_check(draft, sum(listing.path(file).stat().st_size for file in listing.files))
        manifest = manifest_copy(listing, draft)
        description = model_describe(listing.below(draft))
        with transaction.atomic():
            record = _record_write(name, ModelRecord.Source.STORE, home, "", description, manifest)
            folder_place(draft, final)
    return Taken(record, description.kind, listing.left_out)


def model_take_snapshot(*, listing: Listing, manifest: Manifest, name: str, revision: str) -> Taken:
    """Describe a snapshot in the Hub's cache, where it stays; a copy in the store goes away."""
    description = model_describe(listing)
    old = _stored_folder(name)
    folder = str(listing.root)
    record = _record_write(name, ModelRecord.Source.HUB, folder, revision, description, manifest)
    if old:
        shutil.rmtree(Path(settings.MODELS_PATH, old), ignore_errors=True)
    return Taken(record, description.kind, listing.left_out)


def _stored_folder(name: str) -> str | None:
    """The store's folder of that model, which may be written in another case."""
    found = ModelRecord.objects.filter(
        provider=PROVIDER, name__iexact=name, source=ModelRecord.Source.STORE
    ).first()
    return found.folder if found else None


def _record_write(
    name: str, source: str, folder: str, revision: str, description: Description, manifest: Manifest
) -> ModelRecord:
    record, _ = ModelRecord.objects.update_or_create(
        provider=PROVIDER,
        name__iexact=name,
        defaults={
            "name": name,
            "source": source,
            "revision": revision,
            "folder": folder,
            "architecture": description.architecture,
            "capabilities": list(description.capabilities),
            "parameters": description.weights.parameters,
            "dtype": description.weights.dtype,
            "size": manifest.size,
            "digest": manifest.digest,
            "context_length": description.context_length,
            "embedding_length": description.embedding_length,
        },
    )
    return record
