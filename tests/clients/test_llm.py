"""The command ``llm`` with its plugin for Ollama, as people run it in their terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.api.stage import Stage
from tests.serving import MODEL


def llm(stage: Stage, tmp_path: Path, *arguments: str) -> str:
    environment = {**os.environ, "OLLAMA_HOST": stage.server.url, "LLM_USER_PATH": str(tmp_path)}
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
    assert MODEL in llm(stage, tmp_path, "ollama", "models")
    assert MODEL in llm(stage, tmp_path, "models")
    assert llm(stage, tmp_path, "-m", f"ollama/{MODEL}:latest", "one two three").split() == [
        "one",
        "two",
        "three",
    ]
    whole = llm(stage, tmp_path, "--no-stream", "-m", f"ollama/{MODEL}:latest", "-o", "top_k", "3", "one two")
    assert whole.split() == ["one", "two"]
