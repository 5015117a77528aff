"""Pulls run in a process of their own: huggingface_hub reads its environment when it is imported."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.inference.store.builders import (
    NOWHERE,
    ROOT,
    environment,
    migrated,
    names_below,
    rows,
    safetensors,
)
from tests.inference.store.stub_hub import COMMIT, Repo, StubHub, repo_of
from tests.tiny_pipelines import make_tiny_sd

PULLS = """
import json, sys, time, django
django.setup()
from inference.errors import InferenceError
from inference.store.hub import hub_pull
from inference.store.watch import Watch

results = []
for name, revision in json.loads(sys.argv[1]):
    started, steps = time.monotonic(), []
    try:
        taken = hub_pull(
            name=name, revision=revision, patience=1.0, watch=Watch(lambda state: steps.append(state.note))
        )
        result = {"name": taken.record.name, "left_out": taken.left_out}
    except InferenceError as error:
        result = {"code": error.code, "message": error.message}
    seconds = time.monotonic() - started
    results.append({**result, "notes": [step for step in steps if step], "seconds": seconds})
print(json.dumps(results))
"""


def pull(home: Path, *wanted: tuple[str, str | None], **extra: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", PULLS, json.dumps(wanted)],
        cwd=ROOT,
        env=environment(
            home,
            DJANGO_SETTINGS_MODULE="hugweb.settings",
            RETRY_DELAY_MS="20",
            HF_HUB_DOWNLOAD_TIMEOUT="1",
            **extra,
        ),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated(tmp_path_factory.mktemp("homes") / "fresh")


@pytest.fixture
def home(fresh: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fresh, tmp_path / "home"))


@pytest.fixture
def hub(llama: Path) -> Iterator[StubHub]:
    extra = {"modeling_canary.py": b"canary", "pytorch_model.bin": b"pickle", ".gitattributes": b""}
    with StubHub(repos={"org/tiny": repo_of(llama, **extra)}) as hub:
        yield hub


def test_a_model_is_fetched_pinned_and_described(home: Path, hub: StubHub, llama: Path) -> None:
    (result,) = pull(home, ("org/tiny", "main"), HF_ENDPOINT=hub.endpoint)
    assert result["name"] == "org/tiny"
    assert result["left_out"] == ["modeling_canary.py", "pytorch_model.bin"]
    assert sorted(hub.fetched) == sorted(path.name for path in llama.iterdir())
    assert hub.fetched[-1] == "model.safetensors"
    (row,) = rows(home, "model_metadata")
    folder = Path(row["folder"])
    assert (row["source"], row["revision"], row["architecture"]) == ("hub", COMMIT, "llama")
    assert folder == home / "hf" / "hub" / "models--org--tiny" / "snapshots" / COMMIT
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in llama.iterdir()
    }
    assert not (home / "models").exists()


def test_what_is_in_the_cache_is_not_fetched_again_and_serves_without_the_hub(
    home: Path, fresh: Path, hub: StubHub, tmp_path: Path
) -> None:
    first, again = pull(home, ("org/tiny", None), ("org/tiny", COMMIT), HF_ENDPOINT=hub.endpoint)
    assert (first["name"], again["name"]) == ("org/tiny", "org/tiny")
    assert hub.fetched.count("model.safetensors") == 1
    (before,) = rows(home, "model_metadata")
    other_home = Path(shutil.copytree(fresh, tmp_path / "other-home"))
    *found, missing = pull(
        other_home,
        *[("org/tiny", None), ("org/tiny", COMMIT), ("org/other", None)],
        HF_HOME=str(home / "hf"),
    )
    assert [result["name"] for result in found] == ["org/tiny", "org/tiny"]
    assert "cache" in found[0]["notes"][0]
    assert missing["code"] == "hub_error"
    (after,) = rows(other_home, "model_metadata")
    assert (after["digest"], after["folder"]) == (before["digest"], before["folder"])


def test_an_image_pipeline_is_fetched_with_its_parts_and_nothing_twice(
    home: Path, hub: StubHub, tmp_path: Path
) -> None:
    folder = make_tiny_sd(tmp_path / "sd")
    files = {name: (folder / name).read_bytes() for name in names_below(folder)}
    again = {
        "sd.safetensors": b"x",
        "unet/diffusion_pytorch_model.fp16.safetensors": b"x",
        "unet/x.bin": b"x",
    }
    foreign = json.dumps({"_class_name": ["mine", "Mine"]}).encode()
    hub.repos["org/painter"] = Repo(files | again)
    hub.repos["org/foreign"] = Repo(files | {"model_index.json": foreign})
    taken, refused = pull(home, ("org/painter", None), ("org/foreign", None), HF_ENDPOINT=hub.endpoint)
    assert taken["left_out"] == sorted(again)
    (row,) = rows(home, "model_metadata")
    assert (row["kind"], row["architecture"]) == ("image generation and editing", "stable-diffusion")
    assert names_below(Path(row["folder"])) == set(files)
    assert refused["code"] == "model_refused"
    # What is small is checked before any weight is fetched: these were fetched once, for the first.
    assert hub.fetched.count("unet/diffusion_pytorch_model.safetensors") == 1


def test_every_no_of_the_hub_has_its_own_message(home: Path, hub: StubHub, llama: Path) -> None:
    sound = hub.repos["org/tiny"].files
    remote = json.dumps({"model_type": "mine", "auto_map": {"AutoModel": "m.M"}}).encode()
    hub.repos |= {
        "no/config": Repo({"model.safetensors": b""}),
        "no/weights": Repo({"config.json": b"{}", "pytorch_model.bin": b"pickle"}),
        "remote/code": Repo({**sound, "config.json": remote}),
        "org/gated": Repo(sound, gated=True),
        "org/lie": Repo(sound, lie="model.safetensors"),
        "org/broken": Repo({**sound, "model.safetensors": safetensors(b"{{{")}),
    }
    hub.answers = {
        "is/forbidden": (403, {}, b"{}"),
        "too/much": (429, {"Retry-After": "3600"}, b"{}"),
        "is/down": (503, {}, b"{}"),
        "a/portal": (200, {"Content-Type": "text/html"}, b"<html>Log in to the hotel's network"),
        "odd/list": (200, {}, b"[]"),
        "odd/object": (200, {}, b'{"error": "no"}'),
        "odd/commit": (200, {}, b'{"id": "odd/commit", "sha": "../../x", "siblings": []}'),
    }
    expected = {
        "no/where": ("not_found", "has no model no/where"),
        "no/config": ("model_refused", "config.json is missing"),
        "no/weights": ("model_refused", "only pytorch_model.bin"),
        "remote/code": ("model_refused", "Python code of its own"),
        "org/gated": ("model_gated", "Accept its terms"),
        "org/lie": ("hub_error", "model.safetensors was damaged on the way"),
        "org/broken": ("model_refused", "model.safetensors is damaged"),
        "is/forbidden": ("hub_error", "HF_TOKEN may read"),
        "too/much": ("hub_error", "too many requests"),
        "is/down": ("hub_error", "error (503)"),
        "a/portal": ("hub_error", "not as the Hub does"),
        "odd/list": ("hub_error", "not as the Hub does"),
        "odd/object": ("hub_error", "not as the Hub does"),
        "odd/commit": ("hub_error", "not as the Hub does"),
        "bad--name/x": ("invalid_request", "no names such as"),
        "no-slash": ("invalid_request", "org/name"),
    }
    results = pull(home, *((name, None) for name in expected), HF_ENDPOINT=hub.endpoint)
    for (name, (code, message)), result in zip(expected.items(), results, strict=True):
        assert (name, result.get("code")) == (name, code)
        assert message in result["message"]
        assert "127.0.0.1" not in result["message"]
        assert str(home) not in result["message"]
        assert result["seconds"] < 30
    assert hub.fetched.count("model.safetensors") == 2, "only of the two whose weights are at fault"
    assert rows(home, "model_metadata") == []


def test_a_download_that_was_damaged_is_not_kept(home: Path, hub: StubHub) -> None:
    hub.repos["org/tiny"].lie = "model.safetensors"
    (damaged,) = pull(home, ("org/tiny", None), HF_ENDPOINT=hub.endpoint)
    assert damaged["code"] == "hub_error"
    hub.repos["org/tiny"].lie = ""
    (sound,) = pull(home, ("org/tiny", None), HF_ENDPOINT=hub.endpoint)
    assert sound["name"] == "org/tiny"


def test_a_revision_that_is_not_there_is_named(home: Path, hub: StubHub) -> None:
    gone, outside = pull(home, ("org/tiny", "v9"), ("org/tiny", "../../x"), HF_ENDPOINT=hub.endpoint)
    assert (gone["code"], outside["code"]) == ("not_found", "invalid_request")
    assert "has no revision v9" in gone["message"]


def test_a_hub_that_never_answers_does_not_hang_the_pull(home: Path, hub: StubHub) -> None:
    hub.stall = True
    (result,) = pull(home, ("org/tiny", None), HF_ENDPOINT=hub.endpoint)
    assert result["code"] == "hub_error"
    assert "cannot be reached" in result["message"]
    assert result["seconds"] < 30


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"HF_ENDPOINT": NOWHERE}, "The Hub cannot be reached"),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        ({"HTTPS_PROXY": NOWHERE, "HF_ENDPOINT": "https://huggingface.co"}, "The Hub cannot be reached"),
    ],
)
def test_without_a_network_the_message_says_so(home: Path, extra: dict[str, str], message: str) -> None:
    (result,) = pull(home, ("org/tiny", None), **extra)
    assert result["code"] == "hub_error"
    assert message in result["message"]
    assert result["seconds"] < 30


@pytest.mark.parametrize(
    "path", ["../../../../victim/mine.gguf", "/tmp/mine.gguf", "a/../../x.gguf", "..\\x.gguf", "a//x.gguf"]
)
def test_a_file_that_would_lie_elsewhere_is_refused(home: Path, hub: StubHub, path: str) -> None:
    victim = home / "hf" / "hub" / "victim" / "mine.gguf"
    victim.parent.mkdir(parents=True)
    victim.write_bytes(b"mine")
    hub.repos["org/tiny"].files[path] = b"theirs"
    (result,) = pull(home, ("org/tiny", None), HF_ENDPOINT=hub.endpoint)
    assert "not as the Hub does" in result["message"]
    assert hub.fetched == []
    assert victim.read_bytes() == b"mine"
