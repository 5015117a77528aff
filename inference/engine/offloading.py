"""Where the weights of an image pipeline lie that a GPU cannot hold whole: in the RAM, but for what computes.

Either each part (text encoder, denoiser, decoder) is on the GPU while it computes, or, slower still, each
layer is. Which of them fits is told from the headers of the files. Knows nothing of torch.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from inference.engine.config import Placement
from inference.footprint.files import header_read
from inference.pipelines import pipeline_weights

MANNERS: dict[Placement, str] = {
    "whole": "",
    "parts": "offloaded, one part at a time",
    "layers": "offloaded, one layer at a time",
}
# diffusers leaves it on the GPU whatever is offloaded.
STAYING = frozenset({"safety_checker"})
# It encodes a picture that is edited, and goes only when the pipeline comes to decoding.
LINGERING = STAYING | {"vae"}


@dataclass(frozen=True)
class Part:
    """Bytes of the weights of a pipeline's part, and of its largest layer's."""

    weights: int
    layer: int


def parts_read(folder: Path, number_size: int) -> dict[str, Part]:
    """The parts of the pipeline in ``folder`` in numbers of ``number_size`` bytes, by their folders.

    ``OSError``, ``ValueError`` or ``KeyError`` for files that are missing or damaged.
    """
    layers: dict[str, Counter[str]] = defaultdict(Counter)
    for file in pipeline_weights(folder):
        for name, entry in header_read(file).items():
            layers[file.parent.name][name.rpartition(".")[0]] += prod(entry["shape"]) * number_size
    return {name: Part(sizes.total(), max(sizes.values())) for name, sizes in layers.items()}


def on_device(parts: Mapping[str, Part], placement: Placement) -> int:
    """The most bytes of weights that are on the GPU at a time."""
    if placement == "whole":
        return in_ram(parts)
    kept = LINGERING if placement == "parts" else STAYING
    moving = [part for name, part in parts.items() if name not in kept]
    largest = max((part.weights if placement == "parts" else part.layer for part in moving), default=0)
    return largest + sum(part.weights for name, part in parts.items() if name in kept)


def in_ram(parts: Mapping[str, Part]) -> int:
    """Bytes of weights that lie in the RAM: whatever is on the GPU, all of them have a place there."""
    return sum(part.weights for part in parts.values())


def choose_offload(parts: Mapping[str, Part], *, drawing: int, free: int, ram: int) -> Placement | None:
    """How a pipeline that does not fit whole is offloaded; ``None`` where nothing helps.

    All in bytes: ``drawing`` is what is worked with beside the weights, ``free`` on the GPU, ``ram`` free
    in the RAM.
    """
    if in_ram(parts) > ram:
        return None
    ladder: tuple[Placement, ...] = ("parts", "layers")
    return next((each for each in ladder if on_device(parts, each) + drawing <= free), None)
