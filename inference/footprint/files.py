"""The files that tell a model's anatomy: headers of its weights, and its configurations.

Nothing of the weights themselves is read. What is too large for a header or a configuration is none.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from inference.errors import LoadFailed
from inference.footprint.anatomy import Anatomy, anatomy_of, count_in
from inference.pipelines import PIPELINE, pipeline_weights

LARGEST_CONFIG = 4 * 2**20
LARGEST_HEADER = 100 * 2**20
# In names of weights: towers and what joins them to a language model; experts, which are one table.
APART = re.compile(r"vis(ual|ion)|audio|projector|connector|\bexperts\b", re.IGNORECASE)
# Of a model that also speaks, the part that reads and writes is what is loaded.
UNLOADED = ("talker.", "token2wav.", "code2wav.")
# Pipelines that do not say: widths of the decoder, pixels of a latent picture's side.
USUAL_WIDTHS, USUAL_SAMPLE = (128, 256, 512, 512), 128
# Numbers for each pixel and each channel of the decoder's last layers, measured with the decoder of Stable
# Diffusion and FLUX; and of one that could decode videos (Qwen-Image), which keeps what each layer saw.
PER_WIDTH, PER_VIDEO_WIDTH = 9, 28


def anatomy_read(folder: Path) -> Anatomy:
    """The anatomy of the model in ``folder``; ``LoadFailed`` if its files are missing or damaged."""
    try:
        if (folder / PIPELINE).exists():
            counts = _counts(header_read(file) for file in pipeline_weights(folder))
            return replace(anatomy_of({}, counts), picture=picture_numbers(folder))
        # Sentence-transformers' layout may have folders for its parts, numbered.
        vectors = (folder / "modules.json").exists()
        inner = folder.glob("[0-9]*_*/*.safetensors") if vectors else ()
        headers = [header_read(file) for file in (*folder.glob("*.safetensors"), *inner)]
        weights = {name: entry for header in headers for name, entry in header.items()}
        loaded = {name: entry for name, entry in weights.items() if not name.startswith(UNLOADED)}
        apart = _counts([{name: entry for name, entry in loaded.items() if APART.search(name)}])
        anatomy = anatomy_of(config_read(folder), _counts([loaded]), loaded, apart=apart.total())
        return replace(anatomy, writes=False, cached=0, encodes=True) if vectors else anatomy
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise LoadFailed("The model's files are missing or damaged. Pull the model again.") from error


def picture_numbers(folder: Path) -> int:
    """Numbers that the pipeline in ``folder`` works with while it decodes a picture of its own size, which
    takes more than its steps; 0 for what is no pipeline. ``ValueError`` for a broken configuration."""
    if not (folder / PIPELINE).exists():
        return 0
    decoder = config_read(folder / "vae")
    videos = "base_dim" in decoder
    levels = decoder.get("dim_mult" if videos else "block_out_channels")
    widths = levels if isinstance(levels, list) and levels else USUAL_WIDTHS
    denoiser = config_read(folder / "unet") or config_read(folder / "transformer")
    side = count_in(denoiser, "sample_size", default=USUAL_SAMPLE) * 2 ** (len(widths) - 1)
    last = {"width": decoder["base_dim"] if videos else widths[0]}
    width = count_in(last, "width", default=USUAL_WIDTHS[0])
    return int(side**2 * width * (PER_VIDEO_WIDTH if videos else PER_WIDTH))


def config_read(folder: Path) -> dict[str, Any]:
    """``config.json``; empty where a model has none, as image pipelines. ``ValueError`` if it is broken."""
    file = folder / "config.json"
    if not file.exists():
        return {}
    if file.stat().st_size > LARGEST_CONFIG:
        raise ValueError("config.json is too large")
    config = json.loads(file.read_bytes())
    if not isinstance(config, dict):
        raise ValueError("config.json holds no object")  # noqa: TRY004 - one error for what is not a config
    return config


def header_read(file: Path) -> dict[str, Any]:
    """The header of a safetensors file: 8 bytes of length, little-endian, and JSON. Source: its README."""
    with file.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        if length > LARGEST_HEADER:
            raise ValueError("the header is too long")
        header = json.loads(content.read(length))
    header.pop("__metadata__", None)
    return header


def _counts(headers: Iterable[Mapping[str, Any]]) -> Counter[str]:
    counts = Counter[str]()
    for header in headers:
        for entry in header.values():
            counts[entry["dtype"]] += prod(entry["shape"])
    return counts
