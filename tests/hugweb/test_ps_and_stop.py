"""``ps`` and ``stop`` as processes, beside an engine the test leads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inference.protocol import FOREVER, LoadedModel, Unload
from tests.fakes import FakeEngine
from tests.serving import MODEL, manage


def run(home: Path, engine: Path | str, *arguments: str) -> tuple[int, str]:
    process = manage(*arguments, home=home, env={"ENGINE_ADDRESS": f"unix:{engine}"})
    output = process.communicate(timeout=60)[0].decode()
    return process.returncode, output


def loaded(name: str, **more: object) -> LoadedModel:
    known = {"state": "ready", "device": "cpu", "size": 1_234_000_000, "context_length": 2048}
    return LoadedModel(name=name, **{**known, "expires_in": 240.0, "active": 0, **more})  # type: ignore[arg-type]


def test_a_table_like_ollama_s(home: Path, engine: FakeEngine) -> None:
    engine.models = (
        loaded("smollm2"),
        loaded("org/long-name", device="cuda", expires_in=FOREVER, quantization="int4", size=45_600_000),
        loaded("busy", stopping=True, active=1),
        loaded("exact", dtype="float32"),
        loaded("second", device="cuda:1", dtype="bfloat16"),
        loaded("new", state="loading", size=0),
    )
    code, output = run(home, engine.address, "ps")
    assert code == 0
    table = [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in output.splitlines()]
    assert table == [
        ["NAME", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"],
        ["smollm2", "1.2 GB", "100% CPU", "2048", "4 minutes from now"],
        ["org/long-name (4-bit)", "46 MB", "100% GPU", "2048", "Forever"],
        ["busy", "1.2 GB", "100% CPU", "2048", "Stopping..."],
        ["exact", "1.2 GB", "100% CPU, float32", "2048", "4 minutes from now"],
        ["second", "1.2 GB", "100% GPU 1, bfloat16", "2048", "4 minutes from now"],
        ["new", "-", "-", "-", "Loading..."],
    ]


def test_json(home: Path, engine: FakeEngine) -> None:
    engine.models = (loaded("smollm2"),)
    code, output = run(home, engine.address, "ps", "--json")
    assert code == 0
    assert json.loads(output)[0]["name"] == "smollm2"


def test_stop_unloads_a_model_however_it_is_loaded(home: Path, engine: FakeEngine) -> None:
    code, output = run(home, engine.address, "stop", MODEL.upper())
    assert code == 0, output
    unloads = [request for request in engine.requests if isinstance(request, Unload)]
    assert [(unload.every, Path(unload.model.path).name) for unload in unloads] == [(True, "model")]


@pytest.mark.parametrize(
    ("arguments", "said"), [(("ps",), "No server is running"), (("stop", MODEL), "No server")]
)
def test_without_a_server_they_say_so(
    home: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, output = run(home, tmp_path / "nobody.sock", *arguments)
    assert code == 1
    assert said in output
    assert "Traceback" not in output


def test_stop_of_an_unknown_model_says_so(home: Path, engine: FakeEngine) -> None:
    code, output = run(home, engine.address, "stop", "nope")
    assert (code, output.splitlines()[-1]) == (1, "CommandError: model 'nope' not found")
