"""Well-known models that are worth a try on one machine, with what each is good for.

A literal list: nothing is asked of the Hub. Parameters and families are those on the models' pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from inference.footprint.anatomy import LEAN, Anatomy
from inference.machine import Machine
from inference.store.architectures import EMBEDDING, TEXT, VISION, Kind
from inference.store.estimate import Fit, fit_judge

STORED_SIZE = 2


@dataclass(frozen=True)
class Popular:
    """A model on the Hub; ``family`` is its model_type, ``line`` says what it is good for."""

    name: str
    family: str
    parameters: int
    kind: Kind
    line: str

    def fit(self, machine: Machine) -> Fit:
        """Whether it fits, from its parameters alone: of a model that is here the files tell more."""
        anatomy = Anatomy(
            numbers=self.parameters,
            stored=self.parameters * STORED_SIZE,
            number_size=STORED_SIZE,
            lean=self.family in LEAN,
            writes=self.kind is TEXT,
        )
        return fit_judge(anatomy, machine)


POPULAR = (
    Popular(
        "HuggingFaceTB/SmolLM2-360M-Instruct", "llama", 361_821_120, TEXT, "small and quick, for simple tasks"
    ),
    Popular("Qwen/Qwen3-0.6B", "qwen3", 596_049_920, TEXT, "thinks and calls tools, on small machines"),
    Popular("google/gemma-3-1b-it", "gemma3_text", 999_885_952, TEXT, "writes well (has terms to accept)"),
    Popular(
        "meta-llama/Llama-3.2-1B-Instruct", "llama", 1_235_814_400, TEXT, "all-round (has terms to accept)"
    ),
    Popular("Qwen/Qwen2.5-Coder-1.5B-Instruct", "qwen2", 1_543_714_304, TEXT, "code"),
    Popular("HuggingFaceTB/SmolLM3-3B", "smollm3", 3_075_098_624, TEXT, "thinks, six languages, fully open"),
    Popular("Qwen/Qwen3-4B", "qwen3", 4_022_468_096, TEXT, "thinks and calls tools"),
    Popular("mistralai/Mistral-7B-Instruct-v0.3", "mistral", 7_248_023_552, TEXT, "all-round, calls tools"),
    Popular("Qwen/Qwen2.5-Coder-7B-Instruct", "qwen2", 7_615_616_512, TEXT, "code"),
    Popular("Qwen/Qwen3-8B", "qwen3", 8_190_735_360, TEXT, "thinks and calls tools, good answers"),
    Popular(
        "HuggingFaceTB/SmolVLM-256M-Instruct",
        "idefics3",
        256_484_928,
        VISION,
        "describes pictures, very small",
    ),
    Popular(
        "Qwen/Qwen2.5-VL-3B-Instruct", "qwen2_5_vl", 3_754_622_976, VISION, "reads pictures and documents"
    ),
    Popular("Qwen/Qwen2.5-Omni-7B", "qwen2_5_omni", 10_732_225_440, VISION, "pictures and sound"),
    Popular("sentence-transformers/all-MiniLM-L6-v2", "bert", 22_713_728, EMBEDDING, "search, very small"),
    Popular("BAAI/bge-m3", "xlm-roberta", 567_754_752, EMBEDDING, "search in a hundred languages"),
    Popular("Qwen/Qwen3-Embedding-0.6B", "qwen3", 595_776_512, EMBEDDING, "search, long texts"),
)


def popular_fitting(machine: Machine) -> Iterator[tuple[Popular, Fit]]:
    """Those that fit, and how."""
    for model in POPULAR:
        if (fit := model.fit(machine)).fits:
            yield model, fit
