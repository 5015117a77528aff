from __future__ import annotations

import json
from pathlib import Path

import pytest

from inference.store.configs import DEEPEST, FORBIDDEN, LARGEST, config_read
from inference.store.errors import ModelRefused
from inference.store.listing import folder_list


def read(folder: Path, content: bytes | None, name: str = "config.json") -> dict:
    (folder / "config.json").write_text("{}")
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    return config_read(folder_list(folder))


def nested(depth: int) -> bytes:
    return json.dumps({"a": []}).replace("[]", "[" * depth + "]" * depth).encode()


def test_a_sound_configuration_is_returned(tmp_path: Path) -> None:
    assert read(tmp_path, b'{"model_type": "llama"}') == {"model_type": "llama"}
    assert read(tmp_path, nested(DEEPEST - 1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"config\.json is missing"),
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe\xfd", "not valid JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "no JSON object"),
        (b'"text"', "no JSON object"),
        (b" " * (LARGEST + 1), "larger than 4 MiB"),
        (nested(DEEPEST + 1), "nested deeper"),
    ],
)
def test_each_broken_configuration_has_its_message(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    with pytest.raises(ModelRefused, match=message) as caught:
        read(tmp_path, content)
    assert str(tmp_path) not in caught.value.message


@pytest.mark.parametrize("key", sorted(FORBIDDEN))
@pytest.mark.parametrize(
    "name", ["config.json", "generation_config.json", "tokenizer_config.json", "sub/config.json"]
)
def test_a_key_that_has_run_code_is_refused_wherever_it_is(tmp_path: Path, key: str, name: str) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(ModelRefused, match=rf"{name} sets {key}"):
        read(
            tmp_path,
            json.dumps({"model_type": "llama", "vision_config": {"list": [{key: "x/y"}]}}).encode(),
            name,
        )


def test_a_list_beside_the_main_one_is_checked_and_left_alone(tmp_path: Path) -> None:
    """As all-MiniLM-L6-v2 has one of what it was trained on."""
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    notes = tmp_path / "data_config.json"
    notes.write_text('[{"name": "pairs.jsonl.gz", "lines": 9}]')
    assert config_read(folder_list(tmp_path)) == {"model_type": "bert"}
    notes.write_text('[{"trust_remote_code": true}]')
    with pytest.raises(ModelRefused, match="data_config.json sets trust_remote_code"):
        config_read(folder_list(tmp_path))


def test_of_an_image_pipeline_the_index_is_read(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    assert config_read(folder_list(tmp_path)) == {"_class_name": "FluxPipeline"}
