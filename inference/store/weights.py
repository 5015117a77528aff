"""Reads the headers of safetensors files: are they whole, and what do they hold.

The format's own reader checks every header against its file: lengths, offsets, shapes and types.
Only headers are read, never the numbers. Knows nothing of configurations.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod

from safetensors import SafetensorError, safe_open

from inference.store.configs import object_read
from inference.store.errors import ModelRefused
from inference.store.listing import Listing

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
LARGEST_INDEX = 64 * 2**20


@dataclass(frozen=True)
class Weights:
    """How many parameters, and the number format of most of them, as safetensors names it."""

    parameters: int
    dtype: str


def safetensors_require(listing: Listing) -> None:
    """``ModelRefused`` unless there are safetensors; names what there is instead."""
    if listing.safetensors():
        return
    instead = f", only {', '.join(listing.left_out[:5])}" if listing.left_out else ""
    raise ModelRefused(
        f"There are no safetensors files{instead}. Give a model whose weights are in safetensors files."
    )


def weights_read(listing: Listing) -> Weights:
    """What the model's weights are; ``ModelRefused`` if a file is missing or broken."""
    safetensors_require(listing)
    counts = {name: _count(listing, name) for name in listing.safetensors()}
    total = sum((counts[name] for name in _main(listing)), Counter[str]())
    if not total:
        raise ModelRefused(f"{SINGLE} holds no weights. Copy or download it again.")
    return Weights(parameters=total.total(), dtype=total.most_common(1)[0][0])


def _main(listing: Listing) -> tuple[str, ...]:
    """The files that transformers loads: the single one, else the shards that the index names."""
    shards = _shards(listing) if INDEX in listing.files else ()
    if SINGLE in listing.files:
        return (SINGLE,)
    if not shards:
        raise ModelRefused(f"There is neither {SINGLE} nor {INDEX}. Give the folder of the whole model.")
    return shards


def _shards(listing: Listing) -> tuple[str, ...]:
    index = object_read(listing.path(INDEX), INDEX, LARGEST_INDEX).get("weight_map")
    if not isinstance(index, dict) or not index:
        raise ModelRefused(f"{INDEX} has no weight_map. Copy or download it again.")
    shards = tuple(sorted({str(name) for name in index.values()}))
    missing = sorted(set(shards) - set(listing.files))
    if missing:
        raise ModelRefused(f"{INDEX} names {missing[0]}, which is missing. Copy or download the whole model.")
    return shards


def _count(listing: Listing, name: str) -> Counter[str]:
    """Parameters by number format."""
    counted = Counter[str]()
    try:
        with safe_open(listing.path(name), framework="np") as file:
            for key in file.keys():  # noqa: SIM118 - the reader is no mapping
                tensor = file.get_slice(key)
                counted[tensor.get_dtype()] += prod(tensor.get_shape())
    except (SafetensorError, OSError) as error:
        raise ModelRefused(
            f"{name} is damaged or incomplete. Copy or download it again (in a Git clone: git lfs pull)."
        ) from error
    return counted
