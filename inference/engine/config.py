"""The engine's configuration, as its supervisor hands it over."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, json
from msgspec.structs import replace

from inference.protocol import Device, Dtype, ModelRef

ENVIRONMENT_VARIABLE = "HUGWEB_ENGINE_CONFIG"

# Where weights lie: all on the device, or there one part or one layer at a time, and else in the RAM.
Placement = Literal["whole", "parts", "layers"]


class EngineConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the engine needs to know.

    ``address``: path of its socket. ``model_roots``: folders that models may be loaded from.
    ``cache``: a folder of its own, for what it need not make twice; none, and it goes without.
    ``num_parallel``: requests of one model at a time (0: as many as memory allows, up to 8).
    ``max_queue``: requests that may wait, for a load and at each model.
    ``notebook``: the file for what is remembered from run to run, and with ``warm_up`` loaded at once.
    ``keep_alive``, ``load_timeout`` and ``write_timeout``, for which whoever asked may take nothing of its
    answer, in seconds, ``context_length`` in tokens (0: the model's).
    ``placement`` is of the one model that is about to be loaded.
    """

    address: str
    model_roots: tuple[str, ...]
    cache: str = ""
    device: Device = "auto"
    precision: Dtype = "auto"
    placement: Placement = "whole"
    max_models: Annotated[int, Meta(ge=1)] = 2
    num_parallel: Annotated[int, Meta(ge=0)] = 0
    max_queue: Annotated[int, Meta(ge=1)] = 512
    keep_alive: float = 300.0
    context_length: Annotated[int, Meta(ge=0)] = 0
    load_timeout: Annotated[float, Meta(gt=0)] = 300.0
    write_timeout: Annotated[float, Meta(gt=0)] = 90.0
    notebook: str = ""
    warm_up: bool = False
    log_level: str = "info"

    def completed(self, model: ModelRef) -> ModelRef:
        """``model`` with the settings' device and number format where it leaves them to them."""
        return replace(
            model,
            device=self.device if model.device == "auto" else model.device,
            dtype=self.precision if model.dtype == "auto" else model.dtype,
        )

    def for_model(self, model: ModelRef) -> EngineConfig:
        """These settings with the device and number format that ``model`` is to be loaded with."""
        wanted = self.completed(model)
        return replace(self, device=wanted.device, precision=wanted.dtype)

    @classmethod
    def from_json(cls, text: str) -> EngineConfig:
        """``msgspec.ValidationError`` names the field that is wrong."""
        return json.decode(text, type=cls)
