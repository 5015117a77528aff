"""Whether a model fits: what its load needs, against what is free.

Each estimate is replaced by what was measured as soon as there is a measurement. Everything here
may block. Knows nothing of which models are loaded.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.engine.config import EngineConfig
from inference.engine.handlers import import_for
from inference.engine.notebook import Measured, Notebook
from inference.errors import DoesNotFit
from inference.footprint import LADDER, Anatomy, Estimate, anatomy_read, estimate
from inference.protocol import ModelRef, Quantization

BITS = {"int8": "8 bits", "int4": "4 bits"}
# Where two measurements are nearly the same, what was noted stays.
NOTEWORTHY = 0.02


@dataclass(frozen=True)
class Need:
    """What the load of ``model`` takes, where its weights will lie."""

    model: ModelRef
    device: str
    anatomy: Anatomy
    estimate: Estimate

    @property
    def bytes(self) -> int:
        return self.estimate.needed


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
            f"for weights, and {gigabytes(free)} are free. {self._advice(need, free)}"
        )

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
        precision = self._config.for_model(model).precision
        return estimate(
            anatomy,
            device=device,
            number_size=_hardware().choose_dtype(precision, device).itemsize,
            quantization=quantization,
            context=self._config.context_length,
            exact=precision == "auto",
        )


# Imported at the first load: torch takes long, and the engine is to listen before that.
def _capacity() -> Any:
    return importlib.import_module("inference.engine.capacity")


def _hardware() -> Any:
    return importlib.import_module("inference.engine.hardware")


def gigabytes(size: int) -> str:
    """``size`` bytes for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"
