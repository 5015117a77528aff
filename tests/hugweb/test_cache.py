"""``manage.py cache``: the disk as it is, beside what the rows say."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from aliases.models import Alias
from inference.models import ModelRecord
from inference.store.drafts import scratch_folder
from inference.store.hub_cache import CACHE
from inference.store.inventory import records_gone
from inference.store.listing import folder_list
from inference.store.manifest import manifest_read
from inference.store.services import model_take_folder, model_take_snapshot
from tests.inference.store.builders import manage, migrated, names_below, snapshot_of, tiny_llama

pytestmark = pytest.mark.django_db
TOLD = StringIO()


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture
def disk(tmp_path: Path, settings, llama: Path) -> Iterator[Path]:
    """A store with one model, and a Hub's cache with one that was pulled and one that was not."""
    settings.MODELS_PATH = tmp_path / "models"
    shutil.rmtree(CACHE, ignore_errors=True)
    model_take_folder(folder=llama, name="me/stored")
    snapshot_of(llama, CACHE, "1" * 40, **{"extra.json": b"{}"})
    listing = folder_list(snapshot_of(llama, CACHE, "2" * 40))
    model_take_snapshot(listing=listing, manifest=manifest_read(listing), name="org/tiny", revision="2" * 40)
    snapshot_of(llama, CACHE, "3" * 40, "models--other--tool")
    yield settings.MODELS_PATH
    shutil.rmtree(CACHE, ignore_errors=True)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("cache", *arguments, stdout=out, stderr=TOLD)
    return out.getvalue()


def scanned() -> dict[str, dict[str, object]]:
    return {entry["model"]: entry for entry in json.loads(run("--scan", "--json"))}


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def interrupted(question: str) -> str:
    raise KeyboardInterrupt


def test_every_model_on_the_disk_is_shown(disk: Path, llama: Path) -> None:
    Alias.objects.create(name="mine", model="ORG/tiny")
    found = scanned()
    assert list(found) == ["me/stored", "org/tiny", "other/tool"]
    assert found["org/tiny"]["revisions"] == ["1" * 40, "2" * 40]
    assert found["org/tiny"]["held_by"] == ["mine"]
    assert found["org/tiny"]["size"] == size(llama) + 2, "each file counts once"
    assert (found["other/tool"]["pulled"], found["other/tool"]["size"]) == (False, size(llama))
    assert found["me/stored"]["place"] == "store"
    lines = run("--scan").splitlines()
    assert lines[0].split() == ["MODEL", "PLACE", "REVISIONS", "SIZE", "LAST", "USED", "HELD", "BY"]
    assert "1111111, 2222222" in lines[2]
    assert "mine" in lines[2]
    assert "pull takes it without a download" in lines[3]
    assert lines[-1].startswith("3 models, ")


def test_files_that_somebody_else_deleted_are_noticed(disk: Path) -> None:
    assert records_gone() == []
    shutil.rmtree(disk / "me")
    (CACHE / "models--org--tiny" / "snapshots" / ("2" * 40) / "config.json").resolve().unlink()
    assert [record.name for record in records_gone()] == ["me/stored", "org/tiny"]
    found = scanned()
    assert (found["me/stored"]["whole"], found["org/tiny"]["whole"]) == (False, False)
    assert run("--scan").count("files are missing") == 2
    run("--clear", "me/stored", "--yes")
    assert [record.name for record in records_gone()] == ["org/tiny"]


def test_clearing_a_model_says_what_it_frees(disk: Path, llama: Path) -> None:
    said = run("--clear", "ORG/Tiny", "--yes")
    assert "Deleted 1 model, freed " in said
    assert not (CACHE / "models--org--tiny").exists()
    assert [record.name for record in ModelRecord.objects.all()] == ["me/stored"]
    assert list(scanned()) == ["me/stored", "other/tool"]


def test_clearing_everything_leaves_the_store_and_what_aliases_stand_for(disk: Path) -> None:
    Alias.objects.create(name="mine", model="org/tiny")
    said = run("--clear", "--yes")
    assert "org/tiny stays: mine stands for it" in TOLD.getvalue()
    assert "Deleted 1 model, freed " in said
    assert list(scanned()) == ["me/stored", "org/tiny"]
    run("--clear", "--yes", "--force")
    assert list(scanned()) == ["me/stored"]
    assert "There is nothing to delete" in run("--clear", "--yes")


def test_nothing_is_deleted_without_a_yes(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = names_below(CACHE)
    for answer in ("", "n", "what?"):
        monkeypatch.setattr("builtins.input", lambda question, answer=answer: answer)
        with pytest.raises(CommandError, match="Nothing was deleted"):
            run("--clear", "org/tiny")
    monkeypatch.setattr("builtins.input", interrupted)
    with pytest.raises(CommandError, match="Nothing was deleted") as ended:
        run("--clear", "org/tiny")
    assert ended.value.returncode == 130
    assert names_below(CACHE) == before
    monkeypatch.setattr("builtins.input", lambda question: "y")
    run("--clear", "org/tiny")
    assert "org/tiny" not in scanned()


def test_a_model_that_is_not_there_is_told(disk: Path) -> None:
    with pytest.raises(CommandError, match="no model org/nope on this machine"):
        run("--clear", "org/nope")


def test_drafts_of_dead_processes_go_and_those_of_living_ones_stay(disk: Path) -> None:
    dead = [disk / ".scratch.x", disk / "me" / ".stored.y", disk / "new" / ".model.z"]
    for folder in dead:
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    with scratch_folder(disk) as living:
        for folder in (*dead, living):
            os.utime(folder, (time.time() - 3600,) * 2)
        run("--scan")
        assert living.is_dir()
    assert not any(folder.exists() for folder in dead)
    assert not (disk / "new").exists()
    assert "me/stored" in scanned()


def test_nobody_to_answer_is_told(tmp_path: Path, llama: Path) -> None:
    home = migrated(tmp_path / "home")
    snapshot_of(llama, home / "hf" / "hub", "1" * 40)
    done = manage(home, "cache", "--clear", "org/tiny", HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert "Nobody is there to answer" in done.stderr
    assert (home / "hf" / "hub" / "models--org--tiny").exists()
