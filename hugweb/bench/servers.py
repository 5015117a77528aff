"""Servers to be measured: HugWeb and its peers, started as a person would, with the same weights."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import psutil
from django.conf import settings

from inference.machine import machine_read

START_SECONDS = 300.0
STOP_SECONDS = 20.0
SETTLE_SECONDS = 60.0
QUIET_SECONDS = 2.0
OPENAI = "/v1/chat/completions"


@dataclass(frozen=True)
class Peer:
    """Another server: whether it is installed here, and how it is started on ``(folder, port)``."""

    name: str
    installed: Callable[[], bool]
    command: Callable[[str, int], list[str]]
    ready: str = "/health"
    ignore_eos: bool = True


def _has(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)


def _tool(name: str) -> str:
    """A program of this environment, or of the machine."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name) or ""


PEERS = (
    Peer(
        "transformers serve --continuous-batching",
        lambda: _has("fastapi", "uvicorn"),
        lambda folder, port: [
            *(_tool("transformers"), "serve", folder, "--continuous-batching", "--host", "127.0.0.1"),
            *("--port", str(port), "--device", machine_read().device, "--dtype", "bfloat16"),
        ],
        ignore_eos=False,
    ),
    Peer(
        "vllm serve",
        lambda: bool(_tool("vllm")),
        lambda folder, port: [_tool("vllm"), "serve", folder, "--port", str(port), "--max-model-len", "4096"],
    ),
    Peer(
        "llama-server",
        lambda: bool(_tool("llama-server")) and any(Path(settings.MODELS_PATH).rglob("*.gguf")),
        lambda folder, port: [
            *(_tool("llama-server"), "-m", str(next(Path(folder).glob("*.gguf"))), "-np", "16"),
            *("-c", "16384", "--port", str(port)),
        ],
    ),
)


@dataclass(frozen=True)
class Running:
    """A server at ``url``; ``started`` is when its process was (``perf_counter``), ``home`` is HugWeb's."""

    url: str
    process: psutil.Process
    started: float
    home: Path | None = None

    def memory(self) -> int:
        """Bytes of the process and its children, what they share counted once where that is known."""
        return sum(map(_proportional, self._family()))

    def settle(self) -> None:
        """Wait until nothing is computed any more: kernels may still be compiled in the background."""
        deadline = time.monotonic() + SETTLE_SECONDS
        before = -1.0
        while (now := sum(map(_computed, self._family()))) != before and time.monotonic() < deadline:
            before = now
            time.sleep(QUIET_SECONDS)

    def _family(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


def _computed(process: psutil.Process) -> float:
    """Seconds, its ended children's too, in tenths: an idle server looks around now and then."""
    try:
        return round(sum(process.cpu_times()[:4]), 1)
    except psutil.NoSuchProcess:
        return 0.0


def _proportional(process: psutil.Process) -> int:
    try:
        details = process.memory_full_info()
    except psutil.NoSuchProcess:  # it has ended meanwhile, as those that render templates may
        return 0
    return int(getattr(details, "pss", details.rss))


@contextlib.contextmanager
def running(command: list[str], port: int, ready: str, environment: dict[str, str]) -> Iterator[Running]:
    """A server while the block runs, from when it answers at ``ready``; ``RuntimeError`` if it does not."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603
            command, env=os.environ | environment, stdout=log, stderr=log, start_new_session=True
        )
        pin(process.pid, servers=True, threads=int(environment["OMP_NUM_THREADS"]))
        try:
            _wait(process, f"http://127.0.0.1:{port}{ready}", log)
            yield Running(f"http://127.0.0.1:{port}", psutil.Process(process.pid), started)
        finally:
            _stop(process)


def pin(pid: int, *, servers: bool, threads: int) -> None:
    """Keep servers to the first ``threads`` cores and whoever asks them to the others, where the system
    can do that and has as many."""
    cores = list(range(psutil.cpu_count() or 1))
    chosen = cores[:threads] if servers else cores[threads:]
    if chosen and hasattr(psutil.Process, "cpu_affinity"):
        psutil.Process(pid).cpu_affinity(chosen)


def _wait(process: subprocess.Popen[bytes], url: str, log: object) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx2.HTTPError):
            if httpx2.get(url, timeout=2).status_code == 200:
                return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} did not come up.")


def _stop(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def hugweb(environment: dict[str, str]) -> Iterator[Running]:
    """HugWeb itself, in a home of its own with this home's models and aliases."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="hugweb-bench-") as home:
        own = {
            "HUGWEB_HOME": home,
            "HUGWEB_PORT": str(port),
            "OLLAMA_HOST": "",
            "HUGGINGFACE_MODELS_PATH": str(settings.MODELS_PATH),
        }
        _copy_database(Path(home))
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "serve"]
        with running(command, port, "/health/ready", environment | own) as server:
            yield replace(server, home=Path(home))


def _copy_database(home: Path) -> None:
    """SQLite's own backup, which is right while others write; another database is shared."""
    name = settings.DATABASES["default"]["NAME"]
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        with (
            contextlib.closing(sqlite3.connect(name)) as source,
            contextlib.closing(sqlite3.connect(home / "db.sqlite3")) as copy,
        ):
            source.backup(copy)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
