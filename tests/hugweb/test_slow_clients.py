"""Clients that take nothing of their answers: what is kept for them is bounded, and so is how long."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from inference.protocol import Done, Event, Request, Text, Usage
from tests.fakes import FakeEngine
from tests.serving import MODEL, Server, engine_thread, eventually

MEGABYTE = 2**20
PIECE = "x" * 50_000
# 400 MB, of which a client that does not read leaves nearly all where it is.
PIECES = 8_000
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "max_tokens": 9, "stream": True}
STREAMS = {
    "/api/chat": CHAT,
    "/v1/chat/completions": CHAT,
    "/v1/messages": CHAT,
}


class Talker:
    """An engine's script that says a lot, and how much of it was taken."""

    def __init__(self, pieces: int = PIECES) -> None:
        self.said = 0
        self._pieces = pieces

    async def __call__(self, request: Request) -> AsyncIterator[Event]:
        for _ in range(self._pieces):
            yield Text(text=PIECE)
            self.said += len(PIECE)
        yield Done(reason="stop", usage=Usage(prompt=1, completion=1))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeEngine]:
    with engine_thread(tmp_path_factory.mktemp("slow") / "e.sock") as engine:
        yield engine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, engine: FakeEngine) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home") / "home"
    with Server(home, engine=engine, env={"HUGWEB_SEND_TIMEOUT_MS": "1000"}) as server:
        yield server


def asked(server: Server, path: str, body: Any, *headers: str) -> socket.socket:
    """A connection with little room that has asked, and reads nothing by itself."""
    address = urlsplit(server.url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((address.hostname, address.port))
    data = json.dumps(body).encode()
    lines = (f"POST {path} HTTP/1.1", f"Host: {address.netloc}", f"Content-Length: {len(data)}", *headers)
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + data)
    return connection


def read_all(connection: socket.socket) -> int:
    """Bytes up to the end of the connection, however it ends."""
    received = 0
    try:
        while piece := connection.recv(MEGABYTE):
            received += len(piece)
    except ConnectionResetError:
        pass
    return received


@pytest.mark.parametrize("path", STREAMS)
def test_one_that_reads_nothing_is_left_and_takes_little_memory(
    server: Server, engine: FakeEngine, path: str
) -> None:
    engine.script, engine.closed = (talker := Talker()), 0
    process = psutil.Process(server.process.pid)
    before, most = process.memory_info().rss, 0

    def ended() -> bool:
        nonlocal most
        most = max(most, process.memory_info().rss - before)
        return engine.closed == 1

    with asked(server, path, STREAMS[path]) as connection:
        eventually(ended, lambda: "still being answered")
        received = read_all(connection)
    assert 0 < talker.said < 20 * MEGABYTE
    assert received < 20 * MEGABYTE
    assert most < 30 * MEGABYTE
    assert re.search(rf"WARNING .*hugweb.*took nothing of its answer to {path} for 1 s", server.output())


def test_one_that_reads_slowly_gets_all_of_it(tmp_path: Path, engine: FakeEngine) -> None:
    engine.script, engine.closed = (talker := Talker(pieces=200)), 0
    body = {"model": MODEL, "prompt": "x"}
    with (
        # Time enough for a machine that stalls between two pieces.
        Server(tmp_path / "home", engine=engine, env={"HUGWEB_SEND_TIMEOUT_MS": "3000"}) as server,
        asked(server, "/api/generate", body, "Connection: close") as connection,
    ):
        # Longer than it may take nothing at all, in pieces far smaller than what waits.
        pause = threading.Event()
        received = 0
        for _ in range(12):
            received += len(connection.recv(20_000))
            pause.wait(0.3)
        assert talker.said < 200 * len(PIECE)
        received += read_all(connection)
    assert received > 200 * len(PIECE)
    assert engine.closed == 0


def test_one_that_leaves_while_it_is_waited_for_ends_its_request(server: Server, engine: FakeEngine) -> None:
    engine.script, engine.closed = Talker(), 0
    with asked(server, "/api/chat", CHAT) as connection:
        connection.recv(1)
    eventually(lambda: engine.closed == 1, lambda: "still being answered")


def test_one_that_does_not_read_holds_nobody_else_up(server: Server, engine: FakeEngine) -> None:
    engine.script = Talker()
    with asked(server, "/api/chat", CHAT) as connection:
        connection.recv(1)
        engine.script = Talker(pieces=3)
        answer = httpx.post(f"{server.url}/api/chat", json={**CHAT, "stream": False})
    assert answer.json()["message"]["content"] == PIECE * 3


def test_an_answer_in_one_piece_that_nobody_reads_is_dropped(server: Server, engine: FakeEngine) -> None:
    engine.script = Talker(pieces=150)
    with asked(server, "/api/chat", {**CHAT, "stream": False}, "Connection: close") as connection:
        said = "took nothing of its answer to /api/chat"
        before = server.output().count(said)
        eventually(lambda: server.output().count(said) > before, server.output)
        assert read_all(connection) < 150 * len(PIECE)


def test_the_end_of_an_answer_that_nobody_reads_does_not_keep_its_connection(
    server: Server, engine: FakeEngine
) -> None:
    """What is left fits into what may wait, so that the answer is complete and its request over."""
    engine.script = Talker(pieces=52)
    process = psutil.Process(server.process.pid)
    body = {**CHAT, "stream": False}
    with asked(server, "/api/chat", body, "Connection: close") as connection:
        port = connection.getsockname()[1]

        def is_held() -> bool:
            return any(each.raddr and each.raddr.port == port for each in process.net_connections())

        eventually(is_held, lambda: "never connected")
        eventually(lambda: not is_held(), lambda: "still connected")
