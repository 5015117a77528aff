from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inference.errors import InvalidRequest, NotFound, TooLarge
from inference.models import ModelRecord
from inference.store import blobs
from inference.store.assembly import model_assemble
from inference.store.blobs import KEPT_SECONDS, blob_draft, blob_find, blob_has
from inference.store.errors import DiskFull, ModelRefused

pytestmark = pytest.mark.usefixtures("store")


def send(data: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    with blob_draft(digest=digest, size=len(data)) as draft:
        draft.write(data[:3])
        draft.write(data[3:])
        draft.finish()
    return digest


def left(store: Path) -> list[Path]:
    return list((store / ".blobs").iterdir())


def test_a_blob_is_kept_once(store: Path) -> None:
    digest = send(b"hello")
    assert blob_find(digest).read_bytes() == b"hello"
    assert blob_find(digest).stat().st_mode & 0o777 == 0o600
    assert blob_has(digest)
    assert not blob_has("sha256:" + "0" * 64)
    send(b"hello")
    assert left(store) == [blob_find(digest)]


def test_what_is_not_what_it_says_is_not_kept(store: Path) -> None:
    digest = f"sha256:{hashlib.sha256(b'other').hexdigest()}"
    got = hashlib.sha256(b"hello").hexdigest()
    with blob_draft(digest=digest, size=5) as draft:
        draft.write(b"hello")
        with pytest.raises(
            InvalidRequest, match=f'^digest mismatch, expected "{digest}", got "sha256:{got}"$'
        ):
            draft.finish()
    with pytest.raises(NotFound):
        blob_find(digest)
    assert left(store) == []


def test_what_is_not_finished_is_not_kept(store: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        blob_draft(digest=f"sha256:{hashlib.sha256(b'hello').hexdigest()}", size=5) as draft,
    ):
        draft.write(b"hello")
        raise ZeroDivisionError
    assert left(store) == []


def test_a_blob_may_be_too_large_for_the_disk_or_become_so(
    store: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    digest = "sha256:" + "0" * 64
    with pytest.raises(DiskFull), blob_draft(digest=digest, size=2**60):
        pass
    monkeypatch.setattr(blobs, "CHECKED_BYTES", 10)
    with blob_draft(digest=digest, size=0) as draft:
        draft.write(b"hello")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
        draft.write(b"more")
        with pytest.raises(DiskFull):
            draft.write(b"and more")
    monkeypatch.undo()
    settings.MAX_BLOB = 10
    with blob_draft(digest=digest, size=0) as draft:
        draft.write(b"0123456789")
        with pytest.raises(TooLarge, match="At most 10 bytes"):
            draft.write(b"1")
    assert left(store) == []


@pytest.mark.parametrize(
    "digest", ["", "x", "sha256:", "sha256:" + "0" * 63, "sha256:" + "G" * 64, "../../x"]
)
def test_other_names_are_refused(digest: str) -> None:
    with pytest.raises(InvalidRequest, match="^invalid digest format$"):
        blob_find(digest)


def test_a_blob_nobody_wanted_goes_away() -> None:
    old, kept = send(b"old"), send(b"kept")
    long_ago = blob_find(old).stat().st_mtime - KEPT_SECONDS - 1
    os.utime(blob_find(old), (long_ago, long_ago))
    send(b"new")
    assert blob_find(kept)
    with pytest.raises(NotFound):
        blob_find(old)


@pytest.mark.django_db
def test_blobs_become_a_model(tiny_llama: Path) -> None:
    files = {file.name: send(file.read_bytes()) for file in tiny_llama.iterdir() if file.is_file()}
    record = model_assemble(name="local/mine", files=files).record
    assert (record.name, record.architecture) == ("local/mine", "llama")
    assert (record.path / "config.json").read_bytes() == (tiny_llama / "config.json").read_bytes()
    assert all(blob_find(digest) for digest in files.values())
    shutil.rmtree(record.path)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("/etc/config.json", "file path must be relative"),
        ("../config.json", "file path must be relative"),
        ("a/../config.json", "file path must be relative"),
        ("model.bin", "cannot be part of a model"),
        ("modeling.py", "cannot be part of a model"),
        (".hidden.json", "cannot be part of a model"),
        ("a\0.json", "cannot be part of a model"),
        ("x" * 300 + ".json", "cannot be part of a model"),
        ("config.json/b.json", "cannot be part of a model"),
        ("", "cannot be part of a model"),
    ],
)
def test_what_can_be_no_part_of_a_model_is_refused(name: str, text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        model_assemble(name="local/mine", files={"config.json": send(b"{}"), name: send(b"x")})
    assert not ModelRecord.objects.exists()


@pytest.mark.django_db
def test_what_is_no_model_is_refused_and_leaves_nothing(store: Path) -> None:
    with pytest.raises(ModelRefused):
        model_assemble(name="local/mine", files={"config.json": send(b"{}")})
    with pytest.raises(NotFound, match="send it first"):
        model_assemble(name="local/mine", files={"config.json": "sha256:" + "0" * 64})
    assert [path.name for path in store.iterdir()] == [".blobs"]
