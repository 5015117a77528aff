"""The chat in a terminal: a real process on a real pseudo-terminal, with an engine the test leads."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from inference.errors import LoadFailed
from inference.protocol import Event, Failed, Generate, Load, Loading, Request, Text
from tests.fakes import FakeEngine, echo
from tests.serving import MODEL, PROJECT, engine_thread, environment, fill_home

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """``manage.py chat`` on a pseudo-terminal: what a person types and sees."""

    def __init__(self, home: Path, engine: FakeEngine, *arguments: str) -> None:
        ours, theirs = pty.openpty()
        self._ours = ours
        self.seen = ""
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "chat", MODEL, *arguments],
            cwd=PROJECT,
            env=environment(home, {"ENGINE_ADDRESS": f"unix:{engine.address}", "TERM": "xterm"}),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
        )
        os.close(theirs)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def press_ctrl_c(self) -> None:
        os.kill(self.process.pid, signal.SIGINT)

    def wait_for(self, text: str, seconds: float = 15.0) -> None:
        """Read until ``text`` stands in what came since the last call."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} not in {self.seen!r}"
            self.seen = CONTROL.sub("", self.seen + os.read(self._ours, 4096).decode(errors="replace"))
        self.seen = self.seen.partition(text)[2]

    def ended(self) -> int:
        return self.process.wait(15)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    fill_home(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    with engine_thread(tmp_path / "e.sock") as engine:
        yield engine


@pytest.fixture
def terminal(home: Path, engine: FakeEngine) -> Iterator[Terminal]:
    terminal = Terminal(home, engine)
    yield terminal
    terminal.close()


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
    assert engine.closed == 1
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
    assert done.stderr.count("\n") == 1
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
