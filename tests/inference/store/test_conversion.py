from __future__ import annotations

import json
from pathlib import Path

import pytest

from inference.store.conversion import gguf_convert
from inference.store.description import model_describe
from inference.store.errors import ConversionFailed
from inference.store.listing import folder_list
from tests.inference.store.builders import TEMPLATE, tiny_gguf


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def test_a_gguf_file_becomes_a_clean_model_folder(tmp_path: Path) -> None:
    gguf_convert(source=tiny_gguf(tmp_path / "tiny.gguf"), target=tmp_path / "out")
    out = tmp_path / "out"
    description = model_describe(folder_list(out))
    assert (description.kind.runs, description.weights.dtype, description.context_length) == (
        True,
        "BF16",
        128,
    )
    assert (out / "chat_template.jinja").read_text() == TEMPLATE
    assert read(out / "generation_config.json")["eos_token_id"] == 2
    assert read(out / "tokenizer_config.json")["model_max_length"] == 128
    written = "".join(path.read_text() for path in out.glob("*.json"))
    for leftover in ("_model_name_or_path", "somebody's machine", str(tmp_path), "local_files_only"):
        assert leftover not in written


def test_a_model_that_could_not_chat_fails_in_one_line(tmp_path: Path) -> None:
    source = tiny_gguf(tmp_path / "mute.gguf", template=None)
    with pytest.raises(ConversionFailed, match="could not be converted: .*no chat template") as caught:
        gguf_convert(source=source, target=tmp_path / "out")
    assert "\n" not in caught.value.message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + bytes(100), b"no GGUF at all, not even close"])
def test_a_file_that_is_no_gguf_fails_in_one_line(tmp_path: Path, content: bytes) -> None:
    from inference.engine.convert import main

    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path / "bad.gguf"), str(tmp_path / "out")])
    assert isinstance(caught.value.code, str)
    assert "\n" not in caught.value.code
    assert not (tmp_path / "out").exists()
