"""Reads a model's configurations as hostile input: bounded, plain JSON, no way to run code.

Knows nothing of what the configurations mean; ``architectures`` does.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from inference.pipelines import PIPELINE
from inference.store.errors import ModelRefused
from inference.store.listing import Listing

MAIN = "config.json"
LARGEST = 4 * 2**20
DEEPEST = 32
# Each has made a library run code that a model brought along.
FORBIDDEN = frozenset(
    {
        "_attn_implementation_internal",
        "_experts_implementation_internal",
        "trust_remote_code",
        "custom_pipeline",
    }
)


def config_require(listing: Listing) -> None:
    """``ModelRefused`` unless there is a main configuration, of a pipeline or of a single model."""
    if not {PIPELINE, MAIN}.intersection(listing.files):
        raise ModelRefused(
            f"{MAIN} is missing. Give the folder or repository of a whole model of transformers or diffusers."
        )


def config_read(listing: Listing) -> dict[str, Any]:
    """The main configuration, after all of them were checked."""
    config_require(listing)
    configs = {name: _json_read(listing.path(name), name) for name in listing.files if _is_config(name)}
    for name, config in configs.items():
        _refuse_forbidden(config, name)
    main = PIPELINE if PIPELINE in configs else MAIN
    return _object(configs[main], main)


def object_read(path: Path, name: str, largest: int = LARGEST) -> dict[str, Any]:
    """The JSON object in a file; people know the file as ``name``."""
    return _object(_json_read(path, name, largest), name)


def _json_read(path: Path, name: str, largest: int = LARGEST) -> Any:
    try:
        if path.stat().st_size > largest:
            raise ModelRefused(
                f"{name} is larger than {largest // 2**20} MiB. Check that it is the right one."
            )
        return json.loads(path.read_bytes())
    except OSError as error:
        raise ModelRefused(f"{name} cannot be read: {error.strerror}. Check its permissions.") from error
    except (ValueError, RecursionError) as error:
        raise ModelRefused(f"{name} is not valid JSON. Copy or download it again.") from error


def _object(content: Any, name: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ModelRefused(f"{name} holds no JSON object. Copy or download it again.")
    return content


def _is_config(name: str) -> bool:
    """Also what only ends like one: sentence-transformers' data_config.json lists what was trained on."""
    return PurePosixPath(name).name == PIPELINE or name.endswith(MAIN)


def _refuse_forbidden(value: object, name: str, depth: int = 0) -> None:
    if depth > DEEPEST:
        raise ModelRefused(f"{name} is nested deeper than {DEEPEST} levels, which no configuration is.")
    if isinstance(value, dict) and (found := FORBIDDEN.intersection(value)):
        raise ModelRefused(f"{name} sets {min(found)}, which could run foreign code. Remove it first.")
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _refuse_forbidden(inner, name, depth + 1)
