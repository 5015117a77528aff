"""``manage.py chat`` as a real process on a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.fakes import FakeEngine
from tests.serving import MODEL, PROJECT, START_SECONDS, environment

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

    def wait_for(self, text: str, seconds: float = START_SECONDS) -> None:
        """Read until ``text`` stands in what came since the last call."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            left = max(0.0, deadline - time.monotonic())
            assert select.select([self._ours], [], [], left)[0], f"{text!r} not in {self.seen!r}"
            self.seen = CONTROL.sub("", self.seen + os.read(self._ours, 4096).decode(errors="replace"))
        self.seen = self.seen.partition(text)[2]

    def ended(self) -> int:
        return self.process.wait(START_SECONDS)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
