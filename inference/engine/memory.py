"""Whether a model fits: what its load needs, against what is free.

Each estimate is replaced by what was measured as soon as there is a measurement. Everything here
may block. Knows nothing of which models are loaded.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from inference.engine.config import EngineConfig, Placement
from inference.engine.handlers import import_for
from inference.engine.notebook import Measured, Notebook
from inference.engine.offloading import Part, choose_offload, in_ram, on_device, parts_read
from inference.errors import DoesNotFit, LoadFailed
from inference.footprint.anatomy import Anatomy
from inference.footprint.estimate import LADDER, Estimate, estimate
from inference.footprint.files import anatomy_read
from inference.protocol import ModelRef, Quantization

BITS = {"int8": "8 bits", "int4": "4 bits"}
# Where two measurements are nearly the same, what was noted stays.
NOTEWORTHY = 0.02


@dataclass(frozen=True)
class Need:
    """What the load of ``model`` takes on ``device``, with its weights placed as ``placement`` says."""

    model: ModelRef
    device: str
    anatomy: Anatomy
    estimate: Estimate
    placement: Placement = "whole"

    @property
    def bytes(self) -> int:
        return self.estimate.needed


class MemoryKeeper(Protocol):
    """What is asked about memory. All of it may block."""

    def need(self, model: ModelRef) -> Need: ...
    def free(self, need: Need) -> int: ...
    def placed(self, need: Need, spare: int) -> Need | None: ...
    def used(self, need: Need) -> int: ...
    def prepare(self, need: Need) -> None: ...
    def settle(self) -> None: ...
    def note(self, need: Need, memory: int) -> None: ...
    def refusal(self, need: Need, free: int) -> DoesNotFit: ...


class Memory:
    """The memory of the devices that ``config`` allows, and what ``notebook`` knows of models."""

    def __init__(self, config: EngineConfig, notebook: Notebook) -> None:
        self._config = config
        self._notebook = notebook

    def need(self, model: ModelRef) -> Need:
        """What loading ``model`` needs; ``LoadFailed`` if its files cannot be read."""
        anatomy = anatomy_read(Path(model.path))
        device = _hardware().choose_device(self._config.for_model(model).device, anatomy.numbers)
        # A precision that the model cannot have is refused by the load, which knows why.
        guess = self._estimate(anatomy, device, model, model.quantization) or self._estimate(
            anatomy, device, model
        )
        assert guess is not None
        known = self._notebook.memory(model, device, anatomy.stored)
        return Need(model, device, anatomy, guess.measured(known))

    def free(self, need: Need) -> int:
        """Bytes that are free where ``need`` is needed."""
        return _capacity().free_memory(need.device)

    def placed(self, need: Need, spare: int) -> Need | None:
        """``need`` as it fits with ``spare`` bytes more than are free: whole, else offloaded, or not at all.

        Only image pipelines are offloaded, and only from CUDA. ``spare`` counts for the GPU and the RAM.
        """
        free = self.free(need) + spare
        if need.bytes <= free:
            return need
        if not _offloadable(need):
            return None
        parts, ram = self._parts(need), _capacity().free_memory("cpu") + spare
        placement = choose_offload(parts, drawing=need.estimate.working, free=free, ram=ram)
        if placement is None:
            return None
        weights = on_device(parts, placement)
        return replace(need, placement=placement, estimate=replace(need.estimate, weights=weights))

    def used(self, need: Need) -> int:
        """Bytes that this process holds there."""
        return _capacity().used_memory(need.device, Path(need.model.path))

    def prepare(self, need: Need) -> None:
        """Import what this load needs, lest it be counted as the model's."""
        import_for(need.model, self._config)
        _capacity().give_back()
        _capacity().use_own_pages(loading=True)

    def settle(self) -> None:
        """After a load, or when a model was let go: return to the system what is no longer used."""
        _capacity().use_own_pages(loading=False)
        _capacity().give_back()

    def note(self, need: Need, memory: int) -> None:
        """Remember that a load took ``memory`` bytes."""
        model, stored = need.model, need.anatomy.stored
        known = self._notebook.memory(model, need.device, stored)
        if abs(memory - known) > NOTEWORTHY * known:
            self._notebook.note_measured(
                Measured(model.path, model.quantization, need.device, stored, memory, model.dtype)
            )

    def refusal(self, need: Need, free: int) -> DoesNotFit:
        """What to tell of a load for which ``free`` bytes are too few."""
        parts = need.estimate
        return DoesNotFit(
            f"{need.model.name} needs {gigabytes(parts.needed)} of memory, {gigabytes(parts.weights)} of it "
            f"for weights, and {gigabytes(free)} are free. {self._tried(need)}{self._advice(need, free)}"
        )

    def _tried(self, need: Need) -> str:
        """What offloading would take, which did not help; empty where there is none."""
        if not _offloadable(need):
            return ""
        parts, working = self._parts(need), need.estimate.working
        part, layer = (gigabytes(on_device(parts, each) + working) for each in ("parts", "layers"))
        held, free = gigabytes(in_ram(parts)), gigabytes(_capacity().free_memory("cpu"))
        return (
            f"Offloaded, it needs {part} there one part at a time, or {layer} one layer at a time, "
            f"and {held} of RAM, of which {free} are free. "
        )

    def _parts(self, need: Need) -> dict[str, Part]:
        try:
            return parts_read(Path(need.model.path), self._number_size(need.model, need.device))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise LoadFailed("The model's files are missing or damaged. Pull the model again.") from error

    def _advice(self, need: Need, free: int) -> str:
        """The nearest option that fits."""
        for quantization in LADDER[LADDER.index(need.model.quantization) + 1 :]:
            smaller = self._estimate(need.anatomy, need.device, need.model, quantization)
            if smaller and smaller.needed <= free:
                return f"Loaded in {BITS[quantization]} it fits: it needs {gigabytes(smaller.needed)} then."
        return "Free memory, or choose a smaller model."

    def _estimate(
        self, anatomy: Anatomy, device: str, model: ModelRef, quantization: Quantization = "none"
    ) -> Estimate | None:
        return estimate(
            anatomy,
            device=device,
            number_size=self._number_size(model, device),
            quantization=quantization,
            context=self._config.context_length,
            exact=self._config.for_model(model).precision == "auto",
        )

    def _number_size(self, model: ModelRef, device: str) -> int:
        """Bytes of a number of ``model``'s weights on ``device``."""
        precision = self._config.for_model(model).precision
        size: int = _hardware().choose_dtype(precision, device).itemsize
        return size


def _offloadable(need: Need) -> bool:
    return need.device.startswith("cuda") and need.anatomy.picture > 0


# Imported at the first load: torch takes long, and the engine is to listen before that.
def _capacity() -> Any:
    return importlib.import_module("inference.engine.capacity")


def _hardware() -> Any:
    return importlib.import_module("inference.engine.hardware")


def gigabytes(size: int) -> str:
    """``size`` bytes for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"
