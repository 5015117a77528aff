"""What a Modelfile's PARAMETER, and ``parameters`` of ``/api/create``, say beyond the sampler's options: how
the model is loaded, and what each answer is held to.

The names are our own: Ollama has none for them. So a Modelfile that is shown makes the same alias again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from aliases.target import Target
from inference.errors import InvalidRequest
from inference.protocol import Device, Dtype, Quantization

# Fields of ``aliases.services.Settings``, and what each can be.
KINDS: dict[str, Any] = {
    "quantization": Quantization,
    "dtype": Dtype,
    "device": Device,
    "keep_alive": str,
    "json_mode": bool,
}


def loading_read(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``given``, by their names; ``InvalidRequest`` for a value that none of them can have."""
    said = {name: given[name] for name in KINDS if given.get(name) not in (None, "")}
    try:
        return {name: msgspec.convert(value, KINDS[name], strict=False) for name, value in said.items()}
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"A parameter ({', '.join(said)}) is out of range: {error}") from error


def loading_said(target: Target) -> Iterator[tuple[str, str | bool]]:
    """Name and value of each that ``target`` has of its own."""
    model = target.model
    for name, value, usual in (
        ("quantization", model.quantization, "none"),
        ("dtype", model.dtype, "auto"),
        ("device", model.device, "auto"),
    ):
        if value != usual:
            yield name, value
    if target.keep_alive is not None:
        yield "keep_alive", f"{target.keep_alive:f}".rstrip("0").rstrip(".") + "s"
    if target.format:
        yield "json_mode", True
