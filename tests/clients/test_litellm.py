"""litellm, over both dialects that people point it at us with, where it is at hand (``.ci/run`` gets it).

It wants other versions than we have of libraries that it shares with us, so it runs in a process of its
own, which takes seconds to import it and then asks everything in either dialect.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inference.protocol import (
    Called,
    Done,
    Embed,
    Embedded,
    Event,
    Generate,
    Message,
    Request,
    ToolCall,
    Usage,
)
from tests.api.stage import Stage
from tests.fakes import echo
from tests.serving import PROJECT

LITELLM = PROJECT / ".cache" / "litellm"
DRIVER = Path(__file__).with_name("litellm_driver.py")
CALL = ToolCall(name="weather", arguments={"city": "Tokyo"}, id="call_1")

pytestmark = pytest.mark.skipif(not LITELLM.is_dir(), reason="litellm is not in .cache/litellm")


@dataclass(frozen=True)
class Talk:
    """What litellm made of our answers, and what the engine was asked by it."""

    said: dict[str, Any]
    asked: list[Request]


async def answer(request: Request) -> AsyncIterator[Event]:
    """A call of a tool where tools are given and none has answered; vectors; else the words again."""
    if isinstance(request, Embed):
        yield Embedded(vectors=b"\0\0\x80\x3f\0\0\0\0" * len(request.texts), width=2)
        yield Done(reason="stop", usage=Usage(prompt=2))
    elif isinstance(request, Generate) and request.tools and request.messages[-1].role != "tool":
        yield Called(call=CALL)
        yield Done(reason="stop")
    else:
        async for event in echo(request):
            yield event


@pytest.fixture(scope="module")
def litellm(running: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    # Nothing of this is to be asked of the internet.
    environment = {"PYTHONPATH": str(LITELLM), "LITELLM_LOCAL_MODEL_COST_MAP": "True", "DO_NOT_TRACK": "1"}
    with subprocess.Popen(
        [sys.executable, str(DRIVER), running.server.url],
        cwd=tmp_path_factory.mktemp("litellm"),
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.terminate()


@pytest.fixture(scope="module", params=["ollama", "openai"])
def talk(running: Stage, litellm: subprocess.Popen[str], request: pytest.FixtureRequest) -> Talk:
    assert litellm.stdin and litellm.stdout
    running.engine.script = answer
    running.engine.requests.clear()
    litellm.stdin.write(f"{request.param}\n")
    litellm.stdin.flush()
    said = litellm.stdout.readline()
    assert said, "litellm ended; its traceback is above"
    return Talk(json.loads(said), list(running.engine.requests))


def generated(talk: Talk) -> list[Generate]:
    return [asked for asked in talk.asked if isinstance(asked, Generate)]


def test_chats(talk: Talk) -> None:
    assert talk.said["whole"].split() == ["one", "two", "three"]
    assert talk.said["usage"] == 6
    asked = generated(talk)[0]
    assert asked.messages == (Message(role="user", content="one two three"),)
    assert (asked.options.temperature, asked.options.num_predict, asked.options.stop) == (0.5, 7, ("END",))


def test_streams(talk: Talk) -> None:
    assert talk.said["pieces"] == ["one ", "two ", "three "]
    assert talk.said["finish"] == "stop"


def test_calls_tools_and_brings_their_results(talk: Talk) -> None:
    assert talk.said["call"] == ["tool_calls", "weather", {"city": "Tokyo"}]
    assert talk.said["streamed"] == ["weather", {"city": "Tokyo"}]
    assert talk.said["answered"].split() == ["22", "degrees"]
    (told,) = [asked for asked in generated(talk) if asked.messages[-1].role == "tool"]
    (tool,) = told.tools
    assert (tool.name, tool.parameters["required"]) == ("weather", ["city"])
    assert told.messages[1].tool_calls[0].arguments == {"city": "Tokyo"}
    assert told.messages[2].content == "22 degrees"


def test_hears_what_is_wrong(talk: Talk) -> None:
    assert "model 'nope' not found" in talk.said["error"]


def test_embeds(talk: Talk) -> None:
    assert talk.said["vectors"] == [[1.0, 0.0], [1.0, 0.0]]
    (asked,) = [asked for asked in talk.asked if isinstance(asked, Embed)]
    assert asked.texts == ("a", "b")
