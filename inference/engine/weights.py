"""A model's weights: what their headers tell without reading them, and reading all of them at once."""

from __future__ import annotations

from math import prod
from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

# Bytes of the smallest page of any system.
PAGE = 4096


def count_parameters(folder: Path) -> int:
    """Parameters of all weights in ``folder``, from the files' headers."""
    total = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118 - not a dict
                total += prod(weights.get_slice(name).get_shape())
    return total


def touch(*parts: nn.Module) -> int:
    """Bytes of the weights in ``parts``, each once; of those in RAM every page is read.

    What is used as it lies in its file would else be read when it is first needed, and not be counted
    when it is measured what the load took.
    """
    weights = {weight for part in parts for weight in (*part.parameters(), *part.buffers())}
    for weight in weights:
        if weight.device.type == "cpu":
            weight.detach().flatten().view(torch.uint8)[::PAGE].sum()
    return sum(weight.nbytes for weight in weights)
