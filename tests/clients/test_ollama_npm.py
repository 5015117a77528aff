"""Ollama's JavaScript client, under Node where that is installed and npm can be reached."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from inference.protocol import Event, Request, Text
from tests.api.stage import Stage
from tests.serving import MODEL, eventually

VERSION = "0.6.4"
INSTALL = ("npm", "install", f"ollama@{VERSION}", "--no-audit", "--no-fund", "--fetch-retries=0")
PRELUDE = """
const { Ollama } = require("ollama");
const [host, model] = process.argv.slice(2);
const client = new Ollama({ host });
const messages = [{ role: "user", content: "one two three" }];
(async () => { %s })().then(result => console.log(JSON.stringify(result)));
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which Node finds the client."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Node is not installed")
    folder = tmp_path_factory.mktemp("node")
    try:
        done = subprocess.run(INSTALL, cwd=folder, capture_output=True, text=True, timeout=30)
    except subprocess.TimeoutExpired:
        pytest.skip("npm does not answer")
    if done.returncode:
        pytest.skip("npm cannot be reached")
    return folder


def run(node: Path, stage: Stage, code: str) -> Any:
    script = node / "script.js"
    script.write_text(PRELUDE % code)
    done = subprocess.run(
        ["node", script, stage.server.url, MODEL], cwd=node, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_lists_shows_and_chats(node: Path, stage: Stage) -> None:
    code = """
      const listed = (await client.list()).models.map(entry => entry.model);
      const shown = (await client.show({ model })).capabilities;
      const whole = (await client.chat({ model, messages })).message.content;
      let streamed = "";
      for await (const part of await client.chat({ model, messages, stream: true }))
        streamed += part.message.content;
      const version = (await client.version()).version;
      const copied = await client.copy({ source: model, destination: "js" });
      const deleted = await client.delete({ model: "js" });
      const errors = [];
      for (const name of ["delete", "pull", "push"])
        try { await client[name]({ model: "js" }); } catch (error) { errors.push(error.message); }
      return { listed, shown, whole, streamed, version, copied, deleted, errors };
    """
    result = run(node, stage, code)
    assert f"{MODEL}:latest" in result["listed"]
    assert result["shown"] == ["completion"]
    assert result["whole"] == result["streamed"] == "one two three "
    assert result["version"] == "0.33.0"
    assert result["copied"] == result["deleted"] == {"status": "success"}
    assert result["errors"][0] == "model 'js' not found", "which it sends as a name"
    assert result["errors"][1] == "pull model manifest: file does not exist"
    assert result["errors"][2].startswith("Models are not pushed from here.")


def test_errors_are_its_own(node: Path, stage: Stage) -> None:
    code = """
      try { await client.chat({ model: "nope", messages }); }
      catch (error) { return { text: error.message, status: error.status_code, name: error.name }; }
    """
    assert run(node, stage, code) == {
        "text": "model 'nope' not found",
        "status": 404,
        "name": "ResponseError",
    }


def test_abort_frees_the_engine(node: Path, stage: Stage) -> None:
    """39"""

    async def endless(request: Request) -> AsyncIterator[Event]:
        yield Text(text="one ")
        await asyncio.Event().wait()

    stage.engine.script = endless
    code = """
      const stream = await client.chat({ model, messages, stream: true });
      try { for await (const part of stream) stream.abort(); }
      catch (error) { return error.name; }
    """
    assert run(node, stage, code) == "AbortError"
    eventually(lambda: stage.engine.closed == 1, lambda: "still being answered")
