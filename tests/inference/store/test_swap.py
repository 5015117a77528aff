from __future__ import annotations

import threading
from pathlib import Path

import pytest

from inference.store import swap


def folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "config.json").write_text(content)
    return path


def test_a_new_folder_is_moved_and_an_old_one_is_replaced(tmp_path: Path) -> None:
    final = tmp_path / "model"
    swap.folder_place(folder(tmp_path / ".one", "one"), final)
    assert (final / "config.json").read_text() == "one"
    swap.folder_place(folder(tmp_path / ".two", "two"), final)
    assert (final / "config.json").read_text() == "two"
    assert (tmp_path / ".two" / "config.json").read_text() == "one"
    assert {path.name for path in tmp_path.iterdir()} == {"model", ".two"}


def test_nobody_ever_sees_a_moment_without_the_model(tmp_path: Path) -> None:
    if not swap._exchange(folder(tmp_path / "a", "a"), folder(tmp_path / "b", "b")):
        pytest.skip("this file system cannot exchange folders")
    final = folder(tmp_path / "model", "0")
    done, seen = threading.Event(), set()

    def look() -> None:
        while not done.is_set():
            seen.add(final.is_dir())

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(300):
        swap.folder_place(folder(tmp_path / f".{number}", str(number)), final)
    done.set()
    watcher.join()
    assert seen == {True}


def test_without_exchange_the_old_folder_is_replaced_too(tmp_path: Path) -> None:
    final = folder(tmp_path / "model", "old")
    swap._replace(folder(tmp_path / ".new", "new"), final)
    assert (final / "config.json").read_text() == "new"
    assert (tmp_path / ".new" / "config.json").read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"model", ".new"}


def test_without_exchange_the_old_folder_comes_back_after_an_error(tmp_path: Path) -> None:
    final = folder(tmp_path / "model", "old")
    with pytest.raises(FileNotFoundError):
        swap._replace(tmp_path / ".never-made", final)
    assert (final / "config.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
