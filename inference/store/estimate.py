"""Whether a model fits into this machine: the verdict that lists and pickers show.

Pure functions over what is known of a model and the machine; nothing is loaded. What was measured
when the model was loaded counts for more than the estimate.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from inference.errors import LoadFailed
from inference.footprint.anatomy import Anatomy, anatomy_of
from inference.footprint.estimate import LADDER, Estimate, estimate
from inference.footprint.files import anatomy_read, config_read
from inference.machine import Machine
from inference.models import ModelRecord
from inference.protocol import Quantization

BITS: dict[Quantization, str] = {"int8": "8 bits", "int4": "4 bits"}


@dataclass(frozen=True)
class Fit:
    """The best way to load a model that fits, ``None`` where none does, and the bytes that it needs then.

    Where nothing fits, ``needed`` is what the smallest way needs.
    """

    quantization: Quantization | None
    needed: int
    free: int

    @property
    def fits(self) -> bool:
        return self.quantization is not None

    @property
    def verdict(self) -> str:
        """The same in the fewest words: ``fits``, ``fits in 4 bits``, ``does not fit``."""
        if self.quantization is None:
            return "does not fit"
        return "fits" if self.quantization == "none" else f"fits in {BITS[self.quantization]}"

    def verdict_as(self, asked: Quantization) -> str:
        """The verdict for one who asks for it loaded as ``asked``."""
        if self.quantization and LADDER.index(self.quantization) <= LADDER.index(asked):
            return "fits"
        return self.verdict

    def __str__(self) -> str:
        needed = f"needs {self.needed / 1e9:.1f} GB"
        if self.quantization is None:
            return f"does not fit: {needed}, {self.free / 1e9:.1f} GB are free"
        if self.quantization == "none":
            return f"fits: {needed}"
        return f"fits in {BITS[self.quantization]}: {needed}"


def fit_judge(anatomy: Anatomy, machine: Machine, *, measured: int = 0, freeable: int = 0) -> Fit:
    """Whether the model fits into what is free, or can be made so by letting ``freeable`` bytes go.

    ``measured``: bytes that it took when it was last loaded as it is, 0 if it never was.
    """
    free = machine.free + freeable
    ways = _ways(anatomy, machine, measured)
    for quantization, guess in ways.items():
        if guess.needed <= free:
            return Fit(quantization, guess.needed, free)
    return Fit(None, min(guess.needed for guess in ways.values()), free)


def record_fit(record: ModelRecord, machine: Machine, *, freeable: int = 0) -> Fit:
    """The same for a model of this machine."""
    return fit_judge(record_anatomy(record), machine, measured=record.memory or 0, freeable=freeable)


def record_anatomy(record: ModelRecord) -> Anatomy:
    """What takes memory, from the model's files; from the row where these are gone or damaged."""
    with contextlib.suppress(LoadFailed):
        if (anatomy := _anatomy(record.path, record.digest)).numbers:
            return anatomy
    try:
        config = config_read(record.path)
    except (OSError, ValueError):
        config = {}
    return anatomy_of(config, {record.dtype.upper(): record.parameters})


@lru_cache(maxsize=512)
def _anatomy(folder: Path, digest: str) -> Anatomy:
    """The anatomy of the model in ``folder``, whose files do not change as long as their ``digest``."""
    return anatomy_read(folder)


def _ways(anatomy: Anatomy, machine: Machine, measured: int) -> dict[Quantization, Estimate]:
    """Every way to load the model here, the best first."""
    guesses = {
        quantization: estimate(
            anatomy,
            device=machine.device,
            number_size=machine.number_size,
            quantization=quantization,
            exact=machine.exact,
        )
        for quantization in LADDER
    }
    known = {quantization: guess for quantization, guess in guesses.items() if guess}
    return known | {"none": known["none"].measured(measured)}
