from __future__ import annotations

import os
from pathlib import Path

import pytest

from inference.store.errors import ModelRefused
from inference.store.listing import folder_list, names_sort

PICKLES = ["a.bin", "a.pt", "a.pth", "a.ckpt", "a.pkl", "a.h5", "a.msgpack", "a.onnx"]


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_pickles_and_code_are_left_out_and_named(tmp_path: Path) -> None:
    fill(
        tmp_path,
        "config.json",
        "model.safetensors",
        "chat_template.jinja",
        "tokenizer.model",
        "modeling_x.py",
        *PICKLES,
    )
    listing = folder_list(tmp_path)
    assert listing.files == ("chat_template.jinja", "config.json", "model.safetensors", "tokenizer.model")
    assert listing.left_out == tuple(sorted([*PICKLES, "modeling_x.py"]))


def test_folders_inside_are_taken_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    fill(tmp_path, "config.json", "1_Pooling/config.json", ".git/config.json", ".cache/x.bin", "sub/run.py")
    listing = folder_list(tmp_path)
    assert listing.files == ("1_Pooling/config.json", "config.json")
    assert listing.left_out == ("sub/run.py",)


def test_second_copies_of_the_weights_are_left_out() -> None:
    taken, left_out = names_sort(
        ["model.safetensors", "consolidated.safetensors", "onnx/config.json", "original/x.json"]
    )
    assert taken == ("model.safetensors",)
    assert left_out == ("consolidated.safetensors", "onnx/config.json", "original/x.json")


@pytest.mark.parametrize(
    "name", ["../config.json", "/etc/config.json", "a/../../config.json", "a\\..\\config.json"]
)
def test_a_repository_cannot_name_a_file_outside_of_itself(name: str) -> None:
    assert names_sort([name]) == ((), (name,))


def test_what_is_no_regular_file_is_left_out(tmp_path: Path) -> None:
    fill(tmp_path, "config.json", "elsewhere/x.json")
    os.mkfifo(tmp_path / "tokenizer.json")
    (tmp_path / "gone.json").symlink_to("nothing")
    (tmp_path / "folder.json").symlink_to("elsewhere")
    listing = folder_list(tmp_path)
    assert listing.files == ("config.json", "elsewhere/x.json")
    assert listing.left_out == ("folder.json", "gone.json", "tokenizer.json")


def test_a_folder_that_is_no_models_is_not_walked_to_its_end() -> None:
    with pytest.raises(ModelRefused, match="more than 10000 files"):
        folder_list(Path("/"))


def test_a_link_out_of_the_folder_is_refused_by_name(tmp_path: Path) -> None:
    secret = fill(tmp_path / "home", "id_rsa") / "id_rsa"
    folder = fill(tmp_path / "model", "config.json", "real.json")
    (folder / "same.json").symlink_to("real.json")
    assert "same.json" in folder_list(folder).files
    (folder / "chat_template.jinja").symlink_to(secret)
    with pytest.raises(ModelRefused, match=r"chat_template\.jinja is a link that leads out"):
        folder_list(folder)


def test_a_snapshot_of_the_hubs_cache_may_link_to_its_blobs_and_nowhere_else(tmp_path: Path) -> None:
    repository = fill(tmp_path / "models--org--name", "blobs/abc", "refs/main")
    snapshot = repository / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to("../../blobs/abc")
    assert folder_list(snapshot).files == ("config.json",)
    (snapshot / "tokenizer.json").symlink_to("../../refs/main")
    with pytest.raises(ModelRefused, match=r"tokenizer\.json"):
        folder_list(snapshot)
