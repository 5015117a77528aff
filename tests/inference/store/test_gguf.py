from __future__ import annotations

import pytest

from inference.errors import InferenceError, InvalidRequest, NotFound
from inference.store.errors import ModelRefused
from inference.store.gguf import file_choose, gguf_architectures

FILES = (
    "README.md",
    "tiny-Q4_K_M.gguf",
    "tiny-Q8_0.gguf",
    "tiny-q4_k_s.gguf",
    "deep/tiny-f16.gguf",
    "big-BF16-00001-of-00002.gguf",
    "big-BF16-00002-of-00002.gguf",
)


@pytest.mark.parametrize(
    ("wanted", "file"),
    [
        ("tiny-Q8_0.gguf", "tiny-Q8_0.gguf"),
        ("TINY-q8_0.GGUF", "tiny-Q8_0.gguf"),
        ("Q4_K_M", "tiny-Q4_K_M.gguf"),
        ("Q4_K_S", "tiny-q4_k_s.gguf"),
        ("F16", "deep/tiny-f16.gguf"),
    ],
)
def test_a_file_is_named_by_its_name_or_its_quantization(wanted: str, file: str) -> None:
    assert file_choose(FILES, wanted) == file


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        ("Q2_K", NotFound, "no GGUF file Q2_K. There are: big-BF16-00001-of-00002.gguf"),
        ("README.md", NotFound, "no GGUF file README.md"),
        ("tiny", InvalidRequest, "Write the whole name of the file"),
        ("BF16", ModelRefused, "is split into several files"),
    ],
)
def test_what_is_no_single_file_is_told(wanted: str, error: type[InferenceError], message: str) -> None:
    with pytest.raises(error, match=message):
        file_choose(FILES, wanted)


def test_the_architectures_are_those_of_transformers() -> None:
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    assert {"llama", "qwen2moe", "gemma3"} <= gguf_architectures()
    assert len(gguf_architectures()) <= len(GGUF_SUPPORTED_ARCHITECTURES)
    assert {
        name.replace("_", "").replace("-", "") for name in GGUF_SUPPORTED_ARCHITECTURES
    } == gguf_architectures()
