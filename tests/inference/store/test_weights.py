from __future__ import annotations

import json
from pathlib import Path

import pytest

from inference.store.errors import ModelRefused
from inference.store.listing import folder_list
from inference.store.weights import INDEX, SINGLE, Weights, weights_read
from tests.inference.store.builders import safetensors

ONE = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
DATA = b"\0" * 8


def tensor(dtype: str, shape: list[int], start: int, end: int) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def read(folder: Path, **files: bytes) -> Weights:
    for name, content in files.items():
        (folder / f"{name}.safetensors").write_bytes(content)
    return weights_read(folder_list(folder))


def index(folder: Path, *shards: str) -> None:
    content = {"metadata": {}, "weight_map": {f"t{i}": shard for i, shard in enumerate(shards)}}
    (folder / INDEX).write_text(json.dumps(content))


def test_parameters_are_counted_and_the_format_of_most_is_named(tmp_path: Path) -> None:
    header = {
        "small": tensor("F32", [3], 0, 12),
        "large": tensor("BF16", [4, 5], 12, 52),
        "one": tensor("F32", [], 52, 56),
    }
    assert read(tmp_path, model=safetensors(header, b"\0" * 56)) == Weights(parameters=24, dtype="BF16")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        b"\0" * 8,
        safetensors(ONE, DATA, length=2**63),
        safetensors(ONE, DATA[:-1]),
        safetensors(ONE, DATA + b"more"),
        safetensors(b"{{{{", DATA),
        safetensors(b"[]", DATA),
        safetensors(b"[" * 100_000),
        safetensors({"a": tensor("F99", [2], 0, 8)}, DATA),
        safetensors({"a": tensor("F32", [3], 0, 8)}, DATA),
        safetensors({"a": tensor("F32", [-1], 0, 8)}, DATA),
        safetensors({"a": tensor("F32", [2**62, 2**62], 0, 8)}, DATA),
        safetensors({"a": tensor("F32", [2], 0, 8), "b": tensor("F32", [2], 4, 12)}, b"\0" * 12),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ModelRefused, match=r"^model\.safetensors is damaged or incomplete\. Copy") as caught:
        read(tmp_path, model=content)
    assert str(tmp_path) not in caught.value.message


def test_a_file_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="holds no weights"):
        read(tmp_path, model=safetensors({}))


def test_shards_are_added_up(tmp_path: Path) -> None:
    index(tmp_path, "one.safetensors", "two.safetensors", "one.safetensors")
    weights = read(tmp_path, one=safetensors(ONE, DATA), two=safetensors(ONE, DATA))
    assert weights == Weights(parameters=4, dtype="F32")


def test_a_damaged_shard_is_refused(tmp_path: Path) -> None:
    index(tmp_path, "one.safetensors", "two.safetensors")
    with pytest.raises(ModelRefused, match=r"^two\.safetensors is damaged"):
        read(tmp_path, one=safetensors(ONE, DATA), two=safetensors(ONE, DATA[:-1]))


@pytest.mark.parametrize("shard", ["two.safetensors", "../outside.safetensors", "/etc/passwd"])
def test_a_shard_that_is_not_there_is_named(tmp_path: Path, shard: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "outside.safetensors").write_bytes(safetensors(ONE, DATA))
    index(tmp_path / "model", "one.safetensors", shard)
    with pytest.raises(ModelRefused, match=f"names {shard}, which is missing"):
        read(tmp_path / "model", one=safetensors(ONE, DATA))


@pytest.mark.parametrize("content", ["{}", '{"weight_map": []}', '{"weight_map": {}}'])
def test_an_index_without_shards_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / INDEX).write_text(content)
    with pytest.raises(ModelRefused, match="no weight_map"):
        read(tmp_path, one=safetensors(ONE, DATA))


def test_weights_under_a_name_that_transformers_does_not_load_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=f"neither {SINGLE} nor {INDEX}"):
        read(tmp_path, adapter_model=safetensors(ONE, DATA))


def test_without_safetensors_the_message_names_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelRefused, match=r"only pytorch_model\.bin\. Give a model"):
        read(tmp_path)
