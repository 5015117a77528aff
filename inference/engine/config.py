"""The engine's configuration, as its supervisor hands it over."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, json

ENVIRONMENT_VARIABLE = "HUGWEB_ENGINE_CONFIG"


class EngineConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the engine needs to know.

    ``address``: path of its socket. ``model_roots``: folders that models may be loaded from.
    ``cache``: a folder of its own, for what it need not make twice; none, and it goes without.
    ``num_parallel``: requests of one model at a time (0: as many as memory allows, up to 8).
    ``max_queue``: requests that may wait, for a load and at each model.
    ``notebook``: the file for what is remembered from run to run, and with ``warm_up`` loaded at once.
    ``keep_alive`` and ``load_timeout`` in seconds, ``context_length`` in tokens (0: the model's).
    """

    address: str
    model_roots: tuple[str, ...]
    cache: str = ""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    max_models: Annotated[int, Meta(ge=1)] = 2
    num_parallel: Annotated[int, Meta(ge=0)] = 0
    max_queue: Annotated[int, Meta(ge=1)] = 512
    keep_alive: float = 300.0
    context_length: Annotated[int, Meta(ge=0)] = 0
    load_timeout: Annotated[float, Meta(gt=0)] = 300.0
    notebook: str = ""
    warm_up: bool = False
    log_level: str = "info"

    @classmethod
    def from_json(cls, text: str) -> EngineConfig:
        """``msgspec.ValidationError`` names the field that is wrong."""
        return json.decode(text, type=cls)
