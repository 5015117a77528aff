"""Writes models into the store and describes them in the database.

Each service ends with a complete model and its row, or with an error and everything as before.
Knows nothing of where files came from before they were a folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import transaction

from inference.models import ModelRecord
from inference.store.architectures import Kind
from inference.store.card import license_read
from inference.store.description import Description, model_describe
from inference.store.drafts import discarding, draft_folder, room_check
from inference.store.errors import ModelHeld, disk_errors
from inference.store.hub_cache import snapshot_delete
from inference.store.listing import Listing, folder_list
from inference.store.manifest import Manifest, manifest_copy
from inference.store.names import folder_of, model_name_check
from inference.store.swap import folder_place

PROVIDER = "huggingface"


@dataclass(frozen=True)
class Taken:
    """A model that was taken in, its kind, and the names of the files that were left out."""

    record: ModelRecord
    kind: Kind
    left_out: tuple[str, ...]


def model_take_folder(*, folder: Path, name: str, license: str = "") -> Taken:
    """Copy the model in ``folder`` into the store as ``name``, in place of an older one.

    ``license`` is known from elsewhere; otherwise it is what the folder's model card says.
    """
    model_name_check(name)
    listing = folder_list(folder)
    # Twice: before gigabytes are copied, and of the copy, since that is what will be loaded.
    model_describe(listing)
    home = _stored_folder(name) or folder_of(name)
    final = Path(settings.MODELS_PATH, home)
    with disk_errors(), draft_folder(final) as draft:
        room_check(draft, sum(listing.path(file).stat().st_size for file in listing.files))
        manifest = manifest_copy(listing, draft)
        description = model_describe(listing.below(draft))
        with transaction.atomic():
            place = {"source": ModelRecord.Source.STORE, "folder": home, "revision": ""}
            record = _record_write(
                name, description, manifest, **place, license=license or license_read(folder)
            )
            folder_place(draft, final)
        # What was there before goes with the draft, after the commit: others wait for the database.
    return Taken(record, description.kind, listing.left_out)


def model_take_snapshot(
    *, listing: Listing, manifest: Manifest, name: str, revision: str, license: str = ""
) -> Taken:
    """Describe a snapshot in the Hub's cache, where it stays; a copy in the store goes away."""
    description = model_describe(listing)
    old = _stored_folder(name)
    place = {"source": ModelRecord.Source.HUB, "folder": str(listing.root), "revision": revision}
    record = _record_write(
        name, description, manifest, **place, license=license or license_read(listing.root)
    )
    if old:
        shutil.rmtree(Path(settings.MODELS_PATH, old), ignore_errors=True)
    return Taken(record, description.kind, listing.left_out)


def model_delete(*, record: ModelRecord, held_by: Collection[str]) -> None:
    """Delete a model: its row and its files, in the Hub's cache those that no other revision needs.

    ``held_by`` names the aliases that stand for it: ``ModelHeld`` if there are any. Whoever
    deletes it nevertheless says so by naming none.
    """
    if held_by:
        raise ModelHeld(
            f"{record.name} is what {', '.join(sorted(held_by))} stands for. Delete that alias first."
        )
    with disk_errors():
        if record.source == ModelRecord.Source.HUB:
            record.delete()
            snapshot_delete(record.path)
        else:
            with discarding(record.path):
                record.delete()


def _stored_folder(name: str) -> str | None:
    """The store's folder of that model, which may be written in another case."""
    found = ModelRecord.objects.filter(
        provider=PROVIDER, name__iexact=name, source=ModelRecord.Source.STORE
    ).first()
    return found.folder if found else None


def _record_write(name: str, description: Description, manifest: Manifest, **more: str) -> ModelRecord:
    """The model's row, new or as it is now; ``more`` are its source, folder, revision and licence."""
    found = {
        "kind": description.kind.label,
        "architecture": description.architecture,
        "capabilities": list(description.capabilities),
        "parameters": description.weights.parameters,
        "dtype": description.weights.dtype,
        "quantization": description.quantization,
        "size": manifest.size,
        "digest": manifest.digest,
        "context_length": description.context_length,
        "embedding_length": description.embedding_length,
        "memory": None,
    }
    record, _ = ModelRecord.objects.update_or_create(
        provider=PROVIDER, name__iexact=name, defaults={"name": name, **found, **more}
    )
    return record
