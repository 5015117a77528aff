from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from inference.errors import LoadFailed
from inference.footprint.files import anatomy_read
from tests.inference.footprint.llama import LLAMA_7B


def test_folders_are_read_by_their_headers(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_7B | {"tie_word_embeddings": True}))
    save_file(
        {"model.embed_tokens.weight": torch.zeros(10, 4), "lm_head.weight": torch.zeros(10, 4)},
        tmp_path / "model-1.safetensors",
    )
    save_file({"a": torch.zeros(7, dtype=torch.bfloat16)}, tmp_path / "model-2.safetensors", {"format": "pt"})
    anatomy = anatomy_read(tmp_path)
    assert (anatomy.numbers, anatomy.stored, anatomy.number_size) == (87, 2 * 160 + 14, 4)
    # What the files hold counts for more than what the configuration says.
    assert anatomy.tied is False


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]", b"\x02\0\0\0\0\0\0\0{", b'\x07\0\0\0\0\0\0\0{"a":1}'],
)
def test_damaged_files_are_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_7B))
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(LoadFailed, match="Pull the model again") as error:
        anatomy_read(tmp_path)
    assert str(tmp_path) not in str(error.value)
