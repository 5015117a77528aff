"""Well-known models that are worth a try on one machine, with what each is good for.

A literal list: nothing is asked of the Hub. Parameters are those on the models' pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from inference.store.architectures import EMBEDDING, TEXT, VISION, Kind

# Bytes a parameter takes, by how the weights are loaded.
BYTES = {"none": 2.0, "int8": 1.125, "int4": 0.625}
# What comes on top of the weights: text in the making, work of a pass, the programs themselves.
HEADROOM = 1.2


@dataclass(frozen=True)
class Popular:
    """A model on the Hub; ``line`` says what it is good for."""

    name: str
    parameters: float
    kind: Kind
    line: str

    def needs(self, quantization: str) -> int:
        """Bytes of memory. A guess: of models that are here the files tell more."""
        return int(self.parameters * BYTES[quantization] * HEADROOM)


POPULAR = (
    Popular("HuggingFaceTB/SmolLM2-360M-Instruct", 362e6, TEXT, "small and quick, for simple tasks"),
    Popular("Qwen/Qwen3-0.6B", 596e6, TEXT, "thinks and calls tools, also on small machines"),
    Popular("google/gemma-3-1b-it", 1.0e9, TEXT, "writes well for its size (terms to accept)"),
    Popular("meta-llama/Llama-3.2-1B-Instruct", 1.24e9, TEXT, "an all-rounder (terms to accept)"),
    Popular("Qwen/Qwen2.5-Coder-1.5B-Instruct", 1.54e9, TEXT, "code"),
    Popular("HuggingFaceTB/SmolLM3-3B", 3.08e9, TEXT, "thinks, six languages, fully open"),
    Popular("Qwen/Qwen3-4B", 4.02e9, TEXT, "thinks and calls tools"),
    Popular("mistralai/Mistral-7B-Instruct-v0.3", 7.25e9, TEXT, "an all-rounder, calls tools"),
    Popular("Qwen/Qwen2.5-Coder-7B-Instruct", 7.62e9, TEXT, "code"),
    Popular("Qwen/Qwen3-8B", 8.19e9, TEXT, "thinks and calls tools, good answers"),
    Popular("HuggingFaceTB/SmolVLM-256M-Instruct", 256e6, VISION, "describes pictures, very small"),
    Popular("Qwen/Qwen2.5-VL-3B-Instruct", 3.75e9, VISION, "reads pictures and documents"),
    Popular("Qwen/Qwen2.5-Omni-7B", 10.7e9, VISION, "pictures and sound"),
    Popular("sentence-transformers/all-MiniLM-L6-v2", 22.7e6, EMBEDDING, "search, very small"),
    Popular("BAAI/bge-m3", 568e6, EMBEDDING, "search in a hundred languages"),
    Popular("Qwen/Qwen3-Embedding-0.6B", 596e6, EMBEDDING, "search, long texts"),
)


def popular_fitting(memory: int) -> Iterator[tuple[Popular, str]]:
    """Those that fit into so many bytes, each with the best way to load it: none, int8 or int4."""
    for model in POPULAR:
        # Only text models are loaded quantized.
        ways = BYTES if model.kind is TEXT else ("none",)
        if way := next((way for way in ways if model.needs(way) <= memory), None):
            yield model, way
