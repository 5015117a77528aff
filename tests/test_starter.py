"""The starter model itself, where this machine has it: as a newcomer meets it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import ollama
import pytest

from tests.serving import PROJECT, Server

KEPT = PROJECT / ".cache" / "starter"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]

pytestmark = [
    pytest.mark.starter,
    pytest.mark.skipif(
        not (KEPT / "db.sqlite3").exists(),
        reason="no starter model here: HUGWEB_HOME=.cache/starter python manage.py pull starter",
    ),
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ollama.Client]:
    home = tmp_path_factory.mktemp("starter") / "home"
    home.mkdir()
    shutil.copy(KEPT / "db.sqlite3", home)
    with Server(home, env={"HUGGINGFACE_MODELS_PATH": str(KEPT / "models")}) as server:
        yield ollama.Client(server.url)


def test_it_knows_the_capital_of_france(client: ollama.Client) -> None:
    answer = client.chat("smollm2", QUESTION, options={"temperature": 0})
    assert "Paris" in (answer.message.content or "")
    assert answer.done_reason == "stop"


def test_it_streams(client: ollama.Client) -> None:
    stream = client.chat("smollm2", QUESTION, options={"temperature": 0}, stream=True)
    pieces = [frame.message.content or "" for frame in stream]
    assert len(pieces) > 5
    assert "Paris" in "".join(pieces)


def test_it_is_listed_by_alias_and_id(client: ollama.Client) -> None:
    names = {model.model for model in client.list().models}
    assert names == {"smollm2:latest", "HuggingFaceTB/SmolLM2-135M-Instruct:latest"}


def test_the_files_are_safe_to_keep(tmp_path: Path) -> None:
    folder = KEPT / "models" / "HuggingFaceTB" / "SmolLM2-135M-Instruct"
    assert {path.suffix for path in folder.iterdir()} <= {".safetensors", ".json", ".jinja", ".txt", ".model"}
