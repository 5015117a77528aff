"""The chat in a terminal: a real process on a real pseudo-terminal, with an engine the test leads."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from inference.errors import LoadFailed
from inference.protocol import Event, Failed, Generate, Load, Loading, Request, Text
from tests.fakes import FakeEngine, echo
from tests.hugweb.terminals import Terminal
from tests.serving import MODEL, PROJECT, environment, eventually


def test_it_remembers_what_was_said(terminal: Terminal, engine: FakeEngine) -> None:
    terminal.wait_for(">>> ")
    terminal.type("one two\n")
    terminal.wait_for("one two ")
    terminal.wait_for(">>> ")
    terminal.type("three\n")
    terminal.wait_for(">>> ")
    terminal.type("/bye\n")
    assert terminal.ended() == 0
    last = engine.requests[-1]
    assert isinstance(last, Generate)
    assert [message.content for message in last.messages] == ["one two", "one two ", "three"]


def test_ctrl_c_stops_the_answer_and_not_the_program(terminal: Terminal, engine: FakeEngine) -> None:
    async def endless(request: Request) -> AsyncIterator[Event]:
        yield Loading(seconds=1)
        yield Text(text="once upon ")
        await asyncio.Event().wait()

    terminal.wait_for(">>> ")
    engine.script = endless
    terminal.type("a story\n")
    terminal.wait_for("once upon ")
    terminal.press_ctrl_c()
    terminal.wait_for("Stopped.")
    terminal.wait_for(">>> ")
    eventually(lambda: engine.closed == 1, lambda: "the engine was not left")
    engine.script = echo
    terminal.type("again\n")
    terminal.wait_for("again ")
    last = engine.requests[-1]
    assert isinstance(last, Generate)
    assert [message.content for message in last.messages] == ["a story", "once upon ", "again"]


def test_an_error_is_shown_and_the_chat_goes_on(terminal: Terminal, engine: FakeEngine) -> None:
    async def broken(request: Request) -> AsyncIterator[Event]:
        yield Failed.of(LoadFailed("It cannot be loaded."))

    terminal.wait_for(">>> ")
    engine.script = broken
    terminal.type("hello\n")
    terminal.wait_for("It cannot be loaded.")
    engine.script = echo
    terminal.type("hello\n")
    terminal.wait_for(">>> ")
    assert terminal.process.poll() is None


def test_ctrl_d_ends_it(terminal: Terminal) -> None:
    terminal.wait_for(">>> ")
    terminal.type("\x04")
    assert terminal.ended() == 0


def test_options_reach_the_engine(home: Path, engine: FakeEngine) -> None:
    arguments = [
        "--temperature",
        "0.5",
        "--top-k",
        "7",
        "--stop",
        "a",
        "--stop",
        "b",
        "--system",
        "Be brief.",
    ]
    terminal = Terminal(home, engine, "hi", *arguments, "--load-in-8bit")
    terminal.wait_for("hi ")
    assert terminal.ended() == 0
    terminal.close()
    sent = engine.requests[-1]
    assert isinstance(sent, Generate)
    assert (sent.options.temperature, sent.options.top_k, sent.options.stop) == (0.5, 7, ("a", "b"))
    assert (sent.messages[0].role, sent.messages[0].content) == ("system", "Be brief.")
    assert sent.model.quantization == "int8"


def test_a_wrong_option_is_one_line(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "chat", MODEL, "hi", "--top-p", "1.5"],
        cwd=PROJECT,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "out of range" in done.stderr


def test_force_loads_before_the_first_question(home: Path, engine: FakeEngine) -> None:
    terminal = Terminal(home, engine, "hi", "--force")
    terminal.wait_for("hi ")
    assert terminal.ended() == 0
    terminal.close()
    first, second = engine.requests
    assert isinstance(first, Load)
    assert first.force
    assert isinstance(second, Generate)
