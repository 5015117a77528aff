"""Reads the headers of safetensors files: are they whole, and what do they hold.

The format's own reader checks every header against its file: lengths, offsets, shapes and types.
Only headers are read, never the numbers. Knows nothing of configurations.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import PurePosixPath

from safetensors import SafetensorError, safe_open

from inference.pipelines import PIPELINE, variant_of
from inference.store.architectures import pipeline_read
from inference.store.configs import MAIN, object_read
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
        raise ModelRefused(f"{listing.safetensors()[0]} holds no weights. Copy or download it again.")
    return Weights(parameters=total.total(), dtype=total.most_common(1)[0][0])


def _main(listing: Listing) -> tuple[str, ...]:
    """The files that are loaded: of a pipeline those of its parts, else the single one, else the shards that
    the index names."""
    if PIPELINE in listing.files:
        return _of_parts(listing)
    shards = _shards(listing, INDEX) if INDEX in listing.files else ()
    if SINGLE in listing.files:
        return (SINGLE,)
    if not shards:
        raise ModelRefused(f"There is neither {SINGLE} nor {INDEX}. Give the folder of the whole model.")
    return shards


def _of_parts(listing: Listing) -> tuple[str, ...]:
    """The files of a pipeline's parts, each of which is whole."""
    pipeline = pipeline_read(object_read(listing.path(PIPELINE), PIPELINE))
    for part in pipeline.weighty():
        holds = any(name.startswith(f"{part}/") for name in listing.safetensors())
        if f"{part}/{MAIN}" not in listing.files or not holds:
            raise ModelRefused(
                f"The part {part} of the pipeline is missing, or its weights are in no safetensors files. "
                "Copy or download the whole model."
            )
    of_parts = [name for name in listing.files if PurePosixPath(name).parts[0] in pipeline.parts]
    for name in of_parts:
        if name.endswith(".safetensors.index.json") and not variant_of(name.removesuffix(".index.json")):
            _shards(listing, name)
    return tuple(name for name in of_parts if name.endswith(".safetensors"))


def _shards(listing: Listing, index: str) -> tuple[str, ...]:
    """The files that the file ``index`` names, which lie beside it."""
    shards = object_read(listing.path(index), index, LARGEST_INDEX).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ModelRefused(f"{index} has no weight_map. Copy or download it again.")
    names = tuple(sorted({str(PurePosixPath(index).parent / str(name)) for name in shards.values()}))
    missing = sorted(set(names) - set(listing.files))
    if missing:
        raise ModelRefused(f"{index} names {missing[0]}, which is missing. Copy or download the whole model.")
    return names


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
