"""Downloads over a Hub that cuts, stalls, lies and limits: what arrives is whole, and arrives once."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.inference.store.builders import (
    ROOT,
    environment,
    migrated,
    names_below,
    partial_size,
    rows,
    tiny_gguf,
)
from tests.inference.store.stub_hub import Repo, StubHub, grown, repo_of, sha256
from tests.serving import eventually

SIZE = 2 * 2**20
NAME = "org/tiny"
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated(tmp_path_factory.mktemp("homes") / "fresh")


@pytest.fixture
def home(fresh: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fresh, tmp_path / "home"))


@pytest.fixture(scope="module")
def repo(llama: Path) -> Repo:
    return grown(repo_of(llama), SIZE)


@pytest.fixture
def hub(repo: Repo) -> Iterator[StubHub]:
    with StubHub(repos={NAME: Repo(dict(repo.files))}) as hub:
        yield hub


def start(home: Path, hub: StubHub, *arguments: str, **extra: str) -> subprocess.Popen[str]:
    """``manage.py pull`` of the model."""
    return subprocess.Popen(
        [sys.executable, "manage.py", "pull", *(arguments or [NAME])],
        cwd=ROOT,
        env=environment(
            home,
            **{"HF_ENDPOINT": hub.endpoint, "RETRY_DELAY_MS": "20", "HF_HUB_DOWNLOAD_TIMEOUT": "1", **extra},
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pull(home: Path, hub: StubHub, *arguments: str, **extra: str) -> tuple[int, str, str]:
    """The exit code, what was printed, and what was told."""
    process = start(home, hub, *arguments, **extra)
    out, told = process.communicate(timeout=60)
    return process.returncode, out, told


def blobs(home: Path) -> Path:
    return home / "hf" / "hub" / "models--org--tiny" / "blobs"


def taken_whole(home: Path, repo: Repo) -> None:
    """The model is described, its files are those of the repository, and nothing else is left."""
    (row,) = rows(home, "model_metadata")
    assert {name: (Path(row["folder"]) / name).read_bytes() for name in repo.files} == repo.files
    assert row["size"] == sum(map(len, repo.files.values()))
    assert not [name for name in names_below(blobs(home)) if "incomplete" in name]


def half_way(home: Path, hub: StubHub) -> None:
    """Wait until half of the weights is on the disk."""
    half = len(hub.repos[NAME].files[WEIGHTS]) // 2
    eventually(lambda: partial_size(blobs(home)) >= half, lambda: str(blobs(home)))


def test_a_connection_that_breaks_goes_on_where_it_broke(home: Path, hub: StubHub, repo: Repo) -> None:
    hub.cut = 3
    code, _, told = pull(home, hub)
    assert code == 0, told
    taken_whole(home, repo)
    assert hub.sent[WEIGHTS] == len(repo.files[WEIGHTS]), "no byte came twice"
    # One more, where this process stalls for longer than the pull waits.
    assert len(hub.ranges) >= 3


def test_a_stalled_connection_is_left_and_taken_up_again(home: Path, hub: StubHub, repo: Repo) -> None:
    hub.hang = 1
    code, _, told = pull(home, hub)
    assert code == 0, told
    assert "trying again" in told
    taken_whole(home, repo)
    assert hub.sent[WEIGHTS] == len(repo.files[WEIGHTS])


def test_a_hub_that_cannot_go_on_in_the_middle_begins_anew(home: Path, hub: StubHub, repo: Repo) -> None:
    hub.cut, hub.deaf = 1, True
    code, _, told = pull(home, hub)
    assert code == 0, told
    taken_whole(home, repo)


def test_a_killed_pull_goes_on_where_it_was(home: Path, hub: StubHub, repo: Repo) -> None:
    hub.gate = threading.Event()
    killed = start(home, hub, HF_HUB_DOWNLOAD_TIMEOUT="60")
    half_way(home, hub)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=60)
    hub.gate.set()
    code, out, told = pull(home, hub)
    assert (code, out) == (0, f"{NAME}\n"), told
    taken_whole(home, repo)
    assert min(hub.went_on) >= 0.4 * len(repo.files[WEIGHTS])
    assert len(hub.ranges) == 1


def test_an_interrupted_pull_says_that_it_goes_on(home: Path, hub: StubHub) -> None:
    hub.gate = threading.Event()
    stopped = start(home, hub)
    half_way(home, hub)
    stopped.send_signal(signal.SIGINT)
    _, told = stopped.communicate(timeout=60)
    hub.gate.set()
    assert stopped.returncode == 130
    assert "What has arrived is kept" in told
    assert "Traceback" not in told
    assert rows(home, "model_metadata") == []


def test_what_was_left_of_another_file_is_no_part_of_this_one(home: Path, hub: StubHub, repo: Repo) -> None:
    other = blobs(home) / f"{'0' * 64}.hugweb.incomplete"
    mine = blobs(home) / f"{sha256(repo.files[WEIGHTS])}.hugweb.incomplete"
    mine.parent.mkdir(parents=True)
    other.write_bytes(b"of a file that was replaced meanwhile")
    mine.write_bytes(b"\0" * (len(repo.files[WEIGHTS]) + 1))
    code, _, told = pull(home, hub)
    assert code == 0, told
    taken_whole(home, repo)


def test_a_part_that_is_damaged_is_not_kept(home: Path, hub: StubHub, repo: Repo) -> None:
    mine = blobs(home) / f"{sha256(repo.files[WEIGHTS])}.hugweb.incomplete"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"\0" * 1000)
    code, _, told = pull(home, hub)
    assert (code, "damaged on the way" in told) == (1, True)
    assert not mine.exists()
    assert pull(home, hub)[0] == 0
    taken_whole(home, repo)


def test_a_hub_that_asks_to_wait_is_waited_for(home: Path, hub: StubHub, repo: Repo) -> None:
    hub.limits = [1, 1]
    code, _, told = pull(home, hub)
    assert code == 0, told
    assert "asks to wait 1 s" in told
    taken_whole(home, repo)


def test_a_hub_that_asks_to_wait_for_an_hour_is_not(home: Path, hub: StubHub) -> None:
    hub.limits = [3600]
    code, _, told = pull(home, hub)
    assert code == 1
    assert "asks to wait 60 minutes. Wait, or set HF_TOKEN" in told


def test_a_connection_that_always_breaks_is_given_up(home: Path, hub: StubHub) -> None:
    hub.cut, hub.dies = 1, True
    code, _, told = pull(home, hub, RETRY_ATTEMPTS="2")
    assert code == 1
    assert "The download broke off. Pull the model again: it goes on where it stopped." in told
    hub.dead = False
    assert pull(home, hub)[0] == 0
    assert hub.sent[WEIGHTS] == len(hub.repos[NAME].files[WEIGHTS])


def on_small_disk(home: Path, hub: StubHub, megabytes: int) -> subprocess.Popen[str]:
    """``manage.py pull`` where the Hub's cache lies on a disk of its own, which nobody else sees."""
    cache = home / "hf"
    cache.mkdir()
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"]).returncode:
        pytest.skip("this machine lets nobody mount")
    mount = f"mount -t tmpfs -o size={megabytes}m tmpfs {cache}"
    return subprocess.Popen(
        ["unshare", "-rm", "sh", "-c", f"{mount} && exec {sys.executable} manage.py pull {NAME}"],
        cwd=ROOT,
        env=environment(home, HF_ENDPOINT=hub.endpoint),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_full_disk_is_said_before_a_byte_is_fetched(home: Path, hub: StubHub) -> None:
    process = on_small_disk(home, hub, megabytes=16)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "are free. Make room" in told
    assert hub.fetched == []


def test_a_disk_that_fills_up_meanwhile_gets_its_room_back(home: Path, hub: StubHub) -> None:
    hub.gate = threading.Event()
    process = on_small_disk(home, hub, megabytes=80)
    seen = Path(f"/proc/{process.pid}/root{home}/hf")
    parts = seen / "hub" / "models--org--tiny" / "blobs"
    half = len(hub.repos[NAME].files[WEIGHTS]) // 2
    eventually(lambda: partial_size(parts) >= half, lambda: str(process.poll()))
    with contextlib.suppress(OSError), (seen / "filler").open("wb") as filler:
        while True:
            filler.write(b"\0" * 2**16)
            filler.flush()
    # The process is the last that holds the disk, so what it left is looked at through an open folder.
    blobs_there = os.open(parts, os.O_RDONLY)
    hub.gate.set()
    _, told = process.communicate(timeout=60)
    left = [entry.name for entry in os.scandir(blobs_there)]
    os.close(blobs_there)
    assert process.returncode == 1
    assert "The disk is full. Make room and pull the model again." in told
    assert left, "complete files stay"
    assert not [name for name in left if "incomplete" in name]


def test_two_processes_make_one_download_and_both_see_it(home: Path, hub: StubHub, repo: Repo) -> None:
    hub.gate = threading.Event()
    patient = {"HF_HUB_DOWNLOAD_TIMEOUT": "60"}
    one, two = start(home, hub, **patient), start(home, hub, **patient)
    half_way(home, hub)
    words = home / "pulls"
    eventually(lambda: any(words.glob("*.json")), lambda: "no word")
    (said,) = words.glob("*.json")
    progress = json.loads(said.read_bytes())["progress"]
    assert {file["name"] for file in progress["files"]} == set(repo.files)
    hub.gate.set()
    for process in (one, two):
        out, told = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, f"{NAME}\n"), told
        assert WEIGHTS in told
    taken_whole(home, repo)
    assert sorted(hub.fetched) == sorted(repo.files), "each file was asked for once"


def test_when_the_one_who_downloads_dies_the_other_goes_on(home: Path, hub: StubHub, repo: Repo) -> None:
    hub.gate = threading.Event()
    first = start(home, hub)
    half_way(home, hub)
    second = start(home, hub)
    # It has shown what it heard of the first one.
    assert second.stderr is not None
    assert second.stderr.readline()
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    hub.gate.set()
    out, told = second.communicate(timeout=60)
    assert (second.returncode, out) == (0, f"{NAME}\n"), told
    taken_whole(home, repo)
    assert min(hub.went_on) >= 0.4 * len(repo.files[WEIGHTS])


def test_a_failure_is_everybodys(home: Path, hub: StubHub) -> None:
    hub.gate = threading.Event()
    hub.repos[NAME].lie = WEIGHTS
    patient = {"HF_HUB_DOWNLOAD_TIMEOUT": "60"}
    first = start(home, hub, **patient)
    half_way(home, hub)
    second = start(home, hub, **patient)
    # The one holds the lease, and the other has been told of it.
    assert second.stderr is not None
    assert second.stderr.readline()
    hub.gate.set()
    for process in (first, second):
        _, told = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "damaged on the way" in told
    assert hub.fetched.count(WEIGHTS) == 1


def test_a_gguf_file_is_converted_when_it_is_named(home: Path, hub: StubHub, tmp_path: Path) -> None:
    content = tiny_gguf(tmp_path / "tiny.gguf").read_bytes()
    names = ("tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf")
    hub.repos["org/files"] = Repo(dict.fromkeys(names, content), license="mit")
    code, out, told = pull(home, hub, "hf.co/org/files:q8_0")
    assert (code, out) == (0, "org/files:q8_0\n"), told
    (row,) = rows(home, "model_metadata")
    assert (row["architecture"], row["dtype"], row["license"]) == ("llama", "BF16", "mit")
    assert (home / "models" / row["folder"] / "model.safetensors").is_file()
    assert hub.fetched == ["tiny-Q8_0.gguf"]
    assert "Converting the model" in told


def test_a_gguf_file_that_cannot_be_converted_is_refused_before_it_is_fetched(
    home: Path, hub: StubHub
) -> None:
    hub.repos["org/files"] = Repo({"odd-Q8_0.gguf": b"GGUF"}, gguf="grue")
    code, _, told = pull(home, hub, "org/files:odd-Q8_0.gguf")
    assert (code, "architecture 'grue' cannot be converted" in told) == (1, True)
    assert pull(home, hub, "org/files:Q2_K")[2].startswith(
        "CommandError: The repository has no GGUF file Q2_K"
    )
    assert hub.fetched == []
