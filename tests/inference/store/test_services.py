from __future__ import annotations

import errno
import hashlib
import os
import resource
import shutil
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import DatabaseError, connection

from inference.errors import InferenceError, InvalidRequest
from inference.models import ModelRecord
from inference.store.architectures import TEXT, VISION
from inference.store.errors import DiskFull, ModelHeld, ModelRefused, StoreError, disk_errors
from inference.store.inventory import inventory
from inference.store.listing import folder_list
from inference.store.manifest import manifest_read
from inference.store.services import model_delete, model_take_folder, model_take_snapshot
from inference.store.weights import SINGLE
from tests.inference.store.builders import copied, names_below, safetensors, snapshot_of

pytestmark = pytest.mark.django_db
NAME = "org/tiny"


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The system refuses to let any file grow beyond ``size``."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names_below(folder)}


def test_a_folder_becomes_a_model_with_its_row(store: Path, llama: Path) -> None:
    taken = model_take_folder(folder=llama, name=NAME)
    record = ModelRecord.objects.get()
    assert taken.record == record
    assert taken.kind is TEXT
    assert (record.name, record.source, record.folder) == (NAME, "store", NAME)
    assert record.path == store / NAME
    assert contents(record.path) == contents(llama)
    assert (record.architecture, record.capabilities, record.dtype) == ("llama", ["completion"], "BF16")
    assert (record.context_length, record.embedding_length) == (256, 32)
    # 2 x 8 x 32 embeddings, and per layer 3072 + 6144 + 64 in attention, MLP and norms; 32 at the end.
    assert record.parameters == 2 * 8 * 32 + 2 * (3072 + 6144 + 64) + 32
    assert record.size == sum(len(content) for content in contents(llama).values())


def test_the_digest_is_over_names_and_bytes(store: Path, llama: Path, tmp_path: Path) -> None:
    record = model_take_folder(folder=llama, name=NAME).record
    lines = sorted((name, hashlib.sha256(content).hexdigest()) for name, content in contents(llama).items())
    expected = hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in lines).encode()).hexdigest()
    assert record.digest == expected
    assert manifest_read(folder_list(llama)).digest == expected
    other = model_take_folder(folder=copied(llama, tmp_path / "other", vocab_size=9), name="org/other").record
    assert other.digest != expected


def test_only_the_owner_can_enter(store: Path, llama: Path, tmp_path: Path) -> None:
    folder = copied(llama, tmp_path / "deep")
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "x.json").write_text("{}")
    model_take_folder(folder=folder, name=NAME)
    everything = [store, *store.rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in everything if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in everything if path.is_file()} == {0o600}
    assert (store / NAME / "a" / "b" / "x.json").is_file()


def test_code_and_pickles_stay_behind_and_are_named(store: Path, llama: Path, tmp_path: Path) -> None:
    folder = copied(llama, tmp_path / "with-code", auto_map={"AutoModel": "modeling_canary.Canary"})
    (folder / "modeling_canary.py").write_text("open('/tmp/canary', 'w')")
    (folder / "spk_dict.pt").write_bytes(b"pickle")
    taken = model_take_folder(folder=folder, name=NAME)
    assert taken.left_out == ("modeling_canary.py", "spk_dict.pt")
    assert names_below(store) == {f"{NAME}/{name}" for name in names_below(llama)}


def test_links_are_followed_and_the_copy_holds_files(store: Path, llama: Path, tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--org--tiny"
    shutil.copytree(llama, repository / "blobs")
    snapshot = repository / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    for name in names_below(llama):
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    record = model_take_folder(folder=snapshot, name=NAME).record
    assert contents(record.path) == contents(llama)
    assert not any(path.is_symlink() for path in record.path.rglob("*"))


@pytest.mark.django_db(transaction=True)
def test_the_files_of_a_replaced_model_are_deleted_outside_of_the_transaction(
    store: Path, llama: Path, tmp_path: Path
) -> None:
    model_take_folder(folder=llama, name=NAME)
    deleted: list[bool] = []
    watching = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event == "shutil.rmtree" and str(arguments[0]).startswith(str(store)):
            deleted.append(connection.in_atomic_block)

    sys.addaudithook(hook)  # there is no way to take one back
    model_take_folder(folder=copied(llama, tmp_path / "other"), name=NAME)
    watching = False
    assert deleted == [False]
    assert names_below(store) == {f"{NAME}/{name}" for name in names_below(llama)}


def test_a_model_is_replaced_whole_and_keeps_its_row(store: Path, llama: Path, tmp_path: Path) -> None:
    first = copied(llama, tmp_path / "first")
    (first / "extra.json").write_text("{}")
    before = model_take_folder(folder=first, name=NAME).record
    after = model_take_folder(folder=copied(llama, tmp_path / "second", vocab_size=9), name=NAME).record
    assert after.pk == before.pk
    assert after.digest != before.digest
    assert contents(store / NAME) == contents(tmp_path / "second")
    assert [path.name for path in (store / "org").iterdir()] == ["tiny"]


def test_another_case_is_the_same_model(store: Path, llama: Path) -> None:
    before = model_take_folder(folder=llama, name="Org/Tiny").record
    after = model_take_folder(folder=llama, name="org/tiny").record
    assert (after.pk, after.name) == (before.pk, "org/tiny")
    assert ModelRecord.objects.count() == 1
    assert len(list(store.rglob("config.json"))) == 1
    assert after.path.is_dir()


def test_a_model_can_be_taken_from_its_own_place(store: Path, llama: Path) -> None:
    record = model_take_folder(folder=llama, name=NAME).record
    assert model_take_folder(folder=record.path, name=NAME).record.digest == record.digest
    assert contents(record.path) == contents(llama)


def test_a_snapshot_stays_where_it_is_and_the_copy_in_the_store_goes(store: Path, llama: Path) -> None:
    digest = model_take_folder(folder=llama, name=NAME).record.digest
    listing = folder_list(llama)
    record = model_take_snapshot(
        listing=listing, manifest=manifest_read(listing), name=NAME, revision="0123"
    ).record
    assert (record.source, record.revision, record.path) == ("hub", "0123", llama)
    assert record.digest == digest
    assert names_below(store) == set()
    assert llama.is_dir()


def test_a_kind_that_cannot_run_yet_is_taken_with_what_it_can(
    store: Path, llama: Path, tmp_path: Path
) -> None:
    folder = copied(
        llama,
        tmp_path / "vision",
        model_type="gemma3",
        architectures=["Gemma3ForConditionalGeneration"],
        vision_config={},
        text_config={"max_position_embeddings": 77, "hidden_size": 5},
    )
    taken = model_take_folder(folder=folder, name=NAME)
    assert (taken.kind, taken.record.capabilities) == (VISION, ["completion", "vision"])
    assert (taken.record.context_length, taken.record.embedding_length) == (77, 5)


@pytest.mark.parametrize("value", ["long", -1, 2**40, True, None, 1.5])
def test_a_length_that_is_none_is_unknown(store: Path, llama: Path, tmp_path: Path, value: object) -> None:
    folder = copied(llama, tmp_path / "odd", max_position_embeddings=value)
    assert model_take_folder(folder=folder, name=NAME).record.context_length == 0


REFUSED = {
    "auto_map": ({"model_type": "mine", "auto_map": {"AutoModel": "m.M"}}, "Python code of its own"),
    "unknown": ({"model_type": "mine"}, "unknown to transformers"),
    "forbidden": ({"custom_pipeline": "x/y"}, "sets custom_pipeline"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_folder_leaves_no_trace(store: Path, llama: Path, tmp_path: Path, case: str) -> None:
    config, message = REFUSED[case]
    with pytest.raises(ModelRefused, match=message):
        model_take_folder(folder=copied(llama, tmp_path / case, **config), name=NAME)
    assert not store.exists()
    assert not ModelRecord.objects.exists()


def test_a_name_that_leaves_the_store_is_refused(store: Path, llama: Path, tmp_path: Path) -> None:
    for name in ("../tiny", "org/..", f"{tmp_path}/x"):
        with pytest.raises(InvalidRequest):
            model_take_folder(folder=llama, name=name)
    assert not store.exists()


def test_a_copy_that_fails_half_way_leaves_the_old_model(store: Path, llama: Path, tmp_path: Path) -> None:
    record = model_take_folder(folder=llama, name=NAME).record
    changed = copied(llama, tmp_path / "changed", vocab_size=9)
    with largest_file(20_000), pytest.raises(StoreError, match="File too large") as caught:
        model_take_folder(folder=changed, name=NAME)
    assert str(tmp_path) not in caught.value.message
    assert ModelRecord.objects.get().digest == record.digest
    assert contents(store / NAME) == contents(llama)
    assert [path.name for path in (store / "org").iterdir()] == ["tiny"]


def test_a_first_copy_that_fails_half_way_leaves_nothing(store: Path, llama: Path) -> None:
    with largest_file(20_000), pytest.raises(StoreError):
        model_take_folder(folder=llama, name=NAME)
    assert list(store.iterdir()) == []
    assert not ModelRecord.objects.exists()


def test_a_model_larger_than_the_disk_is_refused_before_a_byte_is_copied(
    store: Path, llama: Path, tmp_path: Path
) -> None:
    count = 2**41
    if shutil.disk_usage(tmp_path).free > 4 * count:
        pytest.skip("this disk is larger than the model")
    folder = copied(llama, tmp_path / "huge")
    header = safetensors({"a": {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}})
    (folder / SINGLE).write_bytes(header)
    os.truncate(folder / SINGLE, len(header) + 4 * count)
    assert struct.unpack("<Q", header[:8])[0] == len(header) - 8
    with pytest.raises(DiskFull, match=r"takes 8796\.1 GB, and .* are free\. Make room"):
        model_take_folder(folder=folder, name=NAME)
    assert list(store.iterdir()) == []


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, DiskFull), (errno.EACCES, StoreError)])
def test_errors_of_the_disk_say_what_to_do(number: int, kind: type[InferenceError]) -> None:
    with pytest.raises(kind, match=r"Make room|Check the permissions"), disk_errors():
        raise OSError(number, os.strerror(number), "/some/where")


def taken_snapshot(snapshot: Path) -> ModelRecord:
    listing = folder_list(snapshot)
    manifest = manifest_read(listing)
    return model_take_snapshot(listing=listing, manifest=manifest, name=NAME, revision=snapshot.name).record


def test_a_deleted_model_leaves_no_row_and_no_files(store: Path, llama: Path) -> None:
    model_take_folder(folder=llama, name="org/other")
    model_delete(record=model_take_folder(folder=llama, name=NAME).record, held_by=())
    assert [record.name for record in ModelRecord.objects.all()] == ["org/other"]
    assert {path.parts[0:2] for path in map(Path, names_below(store))} == {("org", "other")}
    model_delete(record=ModelRecord.objects.get(), held_by=())
    assert list(store.iterdir()) == []


def test_a_model_that_an_alias_stands_for_is_not_deleted(store: Path, llama: Path) -> None:
    record = model_take_folder(folder=llama, name=NAME).record
    with pytest.raises(ModelHeld, match="org/tiny is what a, b stands for"):
        model_delete(record=record, held_by=["b", "a"])
    assert ModelRecord.objects.get() == record
    assert contents(record.path) == contents(llama)


def test_a_model_that_cannot_be_deleted_stays_whole(store: Path, llama: Path, monkeypatch) -> None:
    record = model_take_folder(folder=llama, name=NAME).record

    def locked(*_: object, **__: object) -> None:
        raise DatabaseError("database is locked")

    monkeypatch.setattr(ModelRecord, "delete", locked)
    with pytest.raises(DatabaseError):
        model_delete(record=record, held_by=())
    assert contents(record.path) == contents(llama)


def test_only_its_revision_goes_from_the_hubs_cache(store: Path, llama: Path, tmp_path: Path) -> None:
    cache = tmp_path / "hub"
    other = snapshot_of(llama, cache, "1" * 40, **{"extra.json": b"{}"})
    record = taken_snapshot(snapshot_of(llama, cache, "2" * 40, **{"mine.json": b"[]"}))
    model_delete(record=record, held_by=())
    assert not ModelRecord.objects.exists()
    assert not record.path.exists()
    assert contents(other) == contents(llama) | {"extra.json": b"{}"}
    assert len(list((cache / "models--org--tiny" / "blobs").iterdir())) == len(contents(other))
    model_delete(record=taken_snapshot(other), held_by=())
    assert list(cache.iterdir()) == []


def test_a_cache_behind_a_link_is_the_same_cache(store: Path, llama: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "hub")
    snapshot_of(llama, tmp_path / "hub", "1" * 40)
    record = taken_snapshot(tmp_path / "link" / "models--org--tiny" / "snapshots" / ("1" * 40))
    (item,) = inventory(tmp_path / "link")
    assert (item.record, item.whole, item.revisions) == (record, True, ("1" * 40,))
    model_delete(record=record, held_by=())
    assert list((tmp_path / "hub").iterdir()) == []


def test_a_model_whose_files_are_gone_can_still_be_deleted(store: Path, llama: Path, tmp_path: Path) -> None:
    model_take_folder(folder=llama, name=NAME)
    shutil.rmtree(store)
    model_delete(record=ModelRecord.objects.get(), held_by=())
    record = taken_snapshot(snapshot_of(llama, tmp_path / "hub", "1" * 40))
    shutil.rmtree(tmp_path / "hub")
    model_delete(record=record, held_by=())
    assert not ModelRecord.objects.exists()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (None, ""),
        ({"quant_method": "gptq", "bits": 4}, "gptq 4-bit"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes 4-bit"),
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": ["x"], "bits": 10**9}, "unknown"),
    ],
)
def test_how_the_files_are_quantized_is_told(
    store: Path, llama: Path, tmp_path: Path, config: object, said: str
) -> None:
    folder = copied(llama, tmp_path / "quantized", quantization_config=config)
    record = model_take_folder(folder=folder, name=NAME).record
    assert (record.quantization, record.kind) == (said, "text generation")


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ("---\nlanguage: en\nlicense: apache-2.0\ntags: [a]\n---\n# Tiny", "apache-2.0"),
        ('---\r\nlicense: "mit"\r\n---\r\n', "mit"),
        ("# Tiny\n---\nlicense: mit\n---\n", ""),
        ("---\nlicense: !!python/object:os.system\n---\n", ""),
        (f"---\nlicense: {'x' * 65}\n---\n", ""),
    ],
)
def test_the_licence_is_the_cards(store: Path, llama: Path, tmp_path: Path, card: str, said: str) -> None:
    folder = copied(llama, tmp_path / "with-card")
    (folder / "README.md").write_bytes(card.encode())
    assert model_take_folder(folder=folder, name=NAME).record.license == said
