"""A real server for tests: ``manage.py serve`` as a process, in a home of its own.

    async with FakeEngine(tmp_path / "engine.sock") as engine:
        async with Server(tmp_path / "home", engine=engine) as server:
            ...server.url...

A fake engine that lives in the test's own event loop must be able to answer while the server
starts, so use ``async with`` there; ``engine_thread`` runs one beside tests that are not async.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import websockets
from websockets import Origin

from tests.fakes import FakeEngine, Script, echo
from tests.kernels import engine_cache

PROJECT = Path(__file__).resolve().parent.parent
MODEL = "test/model"
START_SECONDS = 60.0

T = TypeVar("T")

_OURS = ("HUGWEB_", "OLLAMA_", "HUGGINGFACE_", "ENGINE_ADDRESS", "DATABASE_URL")
# What `fill_home` does, for a home whose database is elsewhere.
FILL_HOME = f"""
import django; django.setup()
from django.core.management import call_command
from inference.models import ModelRecord
from inference.store.refresh import models_refresh
call_command("migrate", verbosity=0)
ModelRecord.objects.create(
    name={MODEL!r}, source="store", folder="test/model", architecture="llama", capabilities=["completion"],
    parameters=135_000_000, dtype="bfloat16", size=270_000_000, digest="0" * 64, context_length=2048,
)
models_refresh(print)
"""
# What `manage.py pull` does, for several models in one process.
PULLS = """
import django; django.setup()
from django.core.management import call_command
for name, folder in {models!r}.items():
    call_command("pull", folder, name=name)
"""


class Server:
    """``manage.py serve`` on a free port, ready when entered and gone when left.

    ``home`` is filled with a migrated database and a record of ``MODEL`` unless it has a database.
    ``engine`` is a fake engine to use instead of a child. ``until`` is the address that must
    answer 200 before the server counts as ready.
    """

    def __init__(
        self,
        home: Path,
        *,
        engine: FakeEngine | None = None,
        env: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        until: str = "/health/ready",
    ) -> None:
        self.home = home
        self.url = ""
        self.login_address = ""
        self._until = until
        self._arguments = ("--port", "0", *arguments)
        self._env = dict(env or {})
        if engine is not None:
            self._env["ENGINE_ADDRESS"] = f"unix:{engine.address}"
        self._log = home.with_name(f"{home.name}-serve.log")

    def start(self) -> Server:
        fill_home(self.home)
        if "ENGINE_ADDRESS" not in self._env and not (self.home / "cache").exists():
            (self.home / "cache").symlink_to(engine_cache())
        with self._log.open("wb") as log:
            self.process = manage(
                "serve", *self._arguments, home=self.home, env=self._env, output=log.fileno()
            )
        try:
            self.url = eventually(lambda: self._printed(r"Chat +(http://\S+)/chat/"), self._explain)
            self.login_address = self._printed(r"Log in +(http://\S+)")
            eventually(lambda: status_of(self.url + self._until) == 200, self._explain)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self, number: int = signal.SIGTERM, seconds: float = 60.0) -> int:
        """Send a signal, wait, and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not stop within {seconds} s\n{self.output()}") from None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def output(self) -> str:
        """All that the server has printed and logged so far."""
        return self._log.read_text(errors="replace")

    def _printed(self, pattern: str) -> str:
        found = re.search(pattern, self.output())
        return found[1] if found else ""

    def _explain(self) -> str:
        assert self.process.poll() is None, f"exit code {self.process.returncode}\n{self.output()}"
        return self.output()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()

    async def __aenter__(self) -> Server:
        return await asyncio.to_thread(self.start)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.__exit__)


def manage(
    *arguments: str, home: Path, env: Mapping[str, str] | None = None, output: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    """``manage.py`` with ``arguments``, as a process whose stdout and stderr go to ``output``."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env=environment(home, env),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def environment(home: Path, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a server of this home, with nothing of the machine's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    ours = {
        "HUGWEB_HOME": str(home),
        "DJANGO_SETTINGS_MODULE": "hugweb.settings",
        "HF_HOME": str(home / "hf"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return {**kept, **ours, **(env or {})}


def fill_home(home: Path, *codes: str) -> str:
    """A database that is up to date, with a record of ``MODEL`` and what ``codes`` add one after the other,
    unless the home has one. What the last of them printed."""
    if (home / "db.sqlite3").exists():
        return ""
    home.mkdir(parents=True, exist_ok=True)
    filled, printed = _filled_home(codes)
    # Keys and log-ins that codes made are good with their home's secret only.
    for name in ("db.sqlite3", "described", *(["secret_key"] if codes else [])):
        shutil.copy(filled / name, home)
    return printed


@functools.cache
def _filled_home(codes: tuple[str, ...]) -> tuple[Path, str]:
    """Such a home, made once, and what the last of ``codes`` printed."""
    home = Path(tempfile.mkdtemp(prefix="hugweb-home-"))
    if not codes:
        return home, run_python(FILL_HOME, home)
    fill_home(home, *codes[:-1])
    return home, run_python(codes[-1], home)


def run_python(code: str, home: Path, env: Mapping[str, str] | None = None) -> str:
    """What ``code`` prints in a fresh interpreter that has this home."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=environment(home, env),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def pull_models(home: Path, models: Mapping[str, Path]) -> None:
    """Take in ``models``, folders by name, as ``manage.py pull`` does."""
    run_python(PULLS.format(models={name: str(folder) for name, folder in models.items()}), home)


def eventually(check: Callable[[], T], explain: Callable[[], str], seconds: float = START_SECONDS) -> T:
    """The first true result of ``check``; fails with ``explain()`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (result := check()):
        reason = explain()
        assert time.monotonic() < deadline, f"not within {seconds} s\n{reason}"
        time.sleep(0.02)
    return result


def page(server: Server, cookies: str = "") -> websockets.connect:
    """The websocket of the chat page, to be entered with ``async with``."""
    address = server.url.replace("http", "ws", 1) + "/ws/chat/"
    return websockets.connect(address, origin=Origin(server.url), additional_headers={"Cookie": cookies})


def status_of(url: str) -> int:
    """The status of a GET; 0 when nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@contextlib.contextmanager
def engine_thread(address: Path | str, script: Script = echo) -> Iterator[FakeEngine]:
    """A fake engine in an event loop and thread of its own."""
    engine = FakeEngine(address, script)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(engine.__aenter__(), loop).result(30)
        yield engine
        asyncio.run_coroutine_threadsafe(engine.__aexit__(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
