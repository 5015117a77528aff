"""Ollama's descriptions of models: the entries of ``/api/tags`` and ``/api/ps``."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from aliases.models import Alias
from aliases.names import full_name
from aliases.selectors import alias_resolve, loaded_visible, models_named
from aliases.target import capabilities_with
from hugweb.api.ollama.frames import timestamp
from inference.asker import asker
from inference.errors import Forbidden, ModelNotFound
from inference.models import ModelRecord
from inference.protocol import LoadedModel

# What Go's largest duration, Ollama's "for ever", amounts to.
FOREVER = timedelta(days=292 * 365)
# Number formats as safetensors and Ollama call them.
_LEVELS = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
_NOTHING: tuple[object, ...] = ("", [], {}, "none", "auto")
# What an alias may add to its model.
_SAID = ("system", "messages", "options", "quantization", "dtype", "device", "template", "license")


def tags() -> list[dict[str, Any]]:
    """Every model and every alias of one, newest first."""
    entries = []
    for record, alias in models_named(asker().user):
        if alias is None:
            entries.append((record.modified, _tag(record.name, record)))
            continue
        entry = _tag(alias.name, record, alias.quantization, alias.dtype)
        entry["digest"] = _digest(alias, record)
        entry["capabilities"] = capabilities_with(alias.template, record.capabilities)
        entries.append((max(alias.modified, record.modified), entry))
    entries.sort(key=lambda entry: entry[0], reverse=True)
    return [entry | {"modified_at": timestamp(modified)} for modified, entry in entries]


def running(models: tuple[LoadedModel, ...]) -> list[dict[str, Any]]:
    """What is in memory and may be known of, the one that stays longest first."""
    now = datetime.now(UTC)
    entries = [_running(model, now) for model in loaded_visible(models, asker().user)]
    return sorted(entries, key=lambda entry: entry["expires_at"], reverse=True)


def _running(model: LoadedModel, now: datetime) -> dict[str, Any]:
    seconds = min(model.expires_in, FOREVER.total_seconds())
    stay = FOREVER if seconds < 0 else timedelta(seconds=seconds)
    entry = {
        "name": full_name(model.name),
        "model": full_name(model.name),
        "size": model.size,
        "digest": "",
        "details": {},
        "expires_at": timestamp(now + stay),
        "size_vram": 0 if model.device in {"cpu", ""} else model.size,
        "context_length": model.context_length,
    }
    try:
        target = alias_resolve(model.name, to_ask=False)
    except (ModelNotFound, Forbidden):
        return entry
    known = details(target.record, target.model.quantization, target.model.dtype)
    digest = _digest(target.alias, target.record) if target.alias else target.record.digest
    return entry | {"digest": digest, "details": known}


def _tag(name: str, record: ModelRecord, quantization: str = "none", dtype: str = "auto") -> dict[str, Any]:
    return {
        "name": full_name(name),
        "model": full_name(name),
        "size": record.size,
        "digest": record.digest,
        "details": details(record, quantization, dtype),
        "capabilities": record.capabilities,
    }


def _digest(alias: Alias, record: ModelRecord) -> str:
    """``record``'s, or where ``alias`` adds anything one of its own: clients take one for one model."""
    said = {name: value for name in _SAID if (value := getattr(alias, name)) not in _NOTHING}
    if not said:
        return record.digest
    return hashlib.sha256(json.dumps([record.digest, said], sort_keys=True).encode()).hexdigest()


def details(record: ModelRecord, quantization: str = "none", dtype: str = "auto") -> dict[str, Any]:
    """What ``record`` is, loaded with ``quantization`` and in ``dtype``."""
    level = _LEVELS.get(dtype, record.dtype) if quantization == "none" else quantization.upper()
    return {
        "parent_model": "",
        "format": "safetensors",
        "family": record.architecture,
        "families": [record.architecture],
        "parameter_size": human_number(record.parameters),
        "quantization_level": level,
        "context_length": record.context_length,
        "embedding_length": record.embedding_length,
    }


def human_number(number: int) -> str:
    """A count as Ollama writes it: ``8B``, ``7.6B``, ``494.03M``, ``12K``."""
    for unit, size, digits in (("B", 10**9, 1), ("M", 10**6, 2), ("K", 10**3, 0)):
        if number >= size:
            return f"{number / size:.{0 if number % size == 0 else digits}f}{unit}"
    return str(number)
