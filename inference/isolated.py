"""Processes that can be ended, for work on what may be hostile: ``isolated_worker`` is their side of it."""

from __future__ import annotations

import contextlib
import queue
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from inference.isolated_worker import LENGTH_BYTES

# A busy machine gives a process its seconds late.
PATIENCE_SECONDS = 30.0


class IsolatedProcess:
    """A process that runs ``module`` and does one job after the other."""

    def __init__(self, module: str) -> None:
        self._line, theirs = socket.socketpair()
        self._line.settimeout(PATIENCE_SECONDS)
        root = Path(__file__).parents[1]
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - a fixed command
                (sys.executable, "-m", module), stdin=theirs.fileno(), stdout=subprocess.DEVNULL, cwd=root
            )

    @property
    def alive(self) -> bool:
        """Whether the process is there to be asked."""
        return self._process.poll() is None

    def ask(self, job: bytes) -> bytes | None:
        """What the process makes of ``job``; ``None``, and no process any more, if nothing."""
        try:
            self._line.sendall(len(job).to_bytes(LENGTH_BYTES, "big") + job)
            return self._read(int.from_bytes(self._read(LENGTH_BYTES), "big"))
        except OSError:
            self.close()
            return None

    def _read(self, length: int) -> bytes:
        read = bytearray()
        while len(read) < length:
            piece = self._line.recv(min(length - len(read), 2**20))
            if not piece:
                raise ConnectionError("The process has ended.")
            read += piece
        return bytes(read)

    def close(self) -> None:
        """End the process."""
        self._line.close()
        self._process.kill()
        self._process.wait()


class IsolatedProcesses:
    """Up to ``most`` processes that run ``module``, for any thread."""

    def __init__(self, module: str, most: int) -> None:
        self._module = module
        self._most = most
        # Places of processes, which start when they are needed; the one used last is the first again.
        self._places: queue.LifoQueue[IsolatedProcess | None] = queue.LifoQueue()
        for _ in range(most):
            self._places.put(None)

    def ask(self, job: bytes) -> bytes | None:
        """What one of them makes of ``job``, once it has time; ``None`` if that took it too much."""
        with self._process() as process:
            return process.ask(job)

    def close(self) -> None:
        """End the processes that nobody uses."""
        for _ in range(self._most):
            if process := self._places.get():
                process.close()
            self._places.put(None)

    @contextlib.contextmanager
    def _process(self) -> Iterator[IsolatedProcess]:
        process = self._places.get()
        try:
            if process and not process.alive:
                process.close()
                process = None
            process = process or IsolatedProcess(self._module)
            yield process
        except BaseException:
            # Its answer to this may still come, which must not be another's.
            if process:
                process.close()
            raise
        finally:
            self._places.put(process)
