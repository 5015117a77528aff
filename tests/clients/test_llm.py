"""The command ``llm`` with its plugin for Ollama, as people run it in their terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.api.stage import Stage
from tests.serving import MODEL


def llm(url: str, tmp_path: Path, *arguments: str) -> str:
    """What the command prints, with a home of its own, of the server at ``url``."""
    environment = {**os.environ, "OLLAMA_HOST": url, "LLM_USER_PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "llm", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_lists_and_chats(stage: Stage, tmp_path: Path) -> None:
    assert MODEL in llm(stage.server.url, tmp_path, "ollama", "models")
    assert MODEL in llm(stage.server.url, tmp_path, "models")
    assert llm(stage.server.url, tmp_path, "-m", f"ollama/{MODEL}:latest", "one two three").split() == [
        "one",
        "two",
        "three",
    ]
    whole = llm(
        stage.server.url,
        tmp_path,
        "--no-stream",
        "-m",
        f"ollama/{MODEL}:latest",
        "-o",
        "top_k",
        "3",
        "one two",
    )
    assert whole.split() == ["one", "two"]
