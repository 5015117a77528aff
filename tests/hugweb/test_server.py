"""Our Daphne through real sockets: limits, faults below Django, and the ways to stop."""

import contextlib
import itertools
import json
import re
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
import websockets

from tests.serving import PROJECT, environment, eventually

LIMIT = 100_000
MEGABYTE = 2**20
LARGE = 16 * MEGABYTE


class OddServer:
    """The process of ``odd_app``."""

    def __init__(self, home, **env):
        limits = {"HUGWEB_MAX_BODY": str(LIMIT), "HUGWEB_DRAIN_TIMEOUT_MS": "300", **env}
        self.log = home / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.hugweb.odd_app"],
                cwd=PROJECT,
                env=environment(home, limits),
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def connection(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            yield connection

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with OddServer(tmp_path_factory.mktemp("odd")) as server:
        yield server


@pytest.fixture
def own(tmp_path):
    with OddServer(tmp_path) as server:
        yield server


def head(path="/api/chat", *headers, method="POST"):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def read_answer(connection):
    """Status line, headers and body of one answer, and that nothing comes after it."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    top, _, body = received.partition(b"\r\n\r\n")
    lines = top.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    assert len(body) == int(headers.get("content-length", 0))
    return lines[0], headers, body


def test_a_body_up_to_the_limit_arrives_whole(shared):
    assert httpx.post(f"{shared.url}/api/chat", content=b"x" * LIMIT).text == f"/api/chat  {LIMIT}"
    pieces = (b"x" * 1000 for _ in range(LIMIT // 1000))
    assert httpx.post(f"{shared.url}/api/chat", content=pieces).text == f"/api/chat  {LIMIT}"


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages", "/chat/"])
def test_a_declared_body_over_the_limit_is_refused_before_it_is_sent(shared, path):
    with shared.connection() as connection:
        connection.sendall(head(path, f"Content-Length: {LIMIT + 1}"))
        status, headers, body = read_answer(connection)
    assert status == "HTTP/1.1 413 Request Entity Too Large"
    assert headers["connection"] == "close"
    if path == "/chat/":
        assert headers["content-type"].startswith("text/plain")
    else:
        assert "100000 bytes" in str(json.loads(body)["error"])


def test_a_client_that_asks_first_is_not_told_to_go_on(shared):
    with shared.connection() as connection:
        connection.sendall(head("/api/chat", "Content-Length: 1000000000", "Expect: 100-continue"))
        assert read_answer(connection)[0].startswith("HTTP/1.1 413")


def test_a_refused_connection_stays_open_for_a_moment_and_then_ends(shared):
    with shared.connection() as connection:
        connection.sendall(head("/api/chat", "Content-Length: 1000000000"))
        assert read_answer(connection)[0].startswith("HTTP/1.1 413")
        for _ in range(4):
            connection.sendall(b"x" * MEGABYTE)
        assert connection.recv(65536) == b""


def test_a_chunked_body_is_refused_once_it_is_over_the_limit(shared):
    with shared.connection() as connection:
        connection.sendall(head("/v1/chat/completions", "Transfer-Encoding: chunked"))
        connection.sendall(b"%x\r\n" % (LIMIT + 1) + b"x" * (LIMIT + 1))
        status, _, body = read_answer(connection)
    assert status.startswith("HTTP/1.1 413")
    assert json.loads(body)["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_it_all_reads_the_refusal_and_nothing_is_kept(shared, chunked):
    process = psutil.Process(shared.process.pid)
    before = process.memory_info().rss
    size = 40 * MEGABYTE
    pieces = (b"x" * MEGABYTE for _ in range(40))
    headers = {} if chunked else {"Content-Length": str(size)}
    answer = httpx.post(f"{shared.url}/api/chat", content=pieces, headers=headers)
    assert answer.status_code == 413
    assert process.memory_info().rss - before < 5 * MEGABYTE
    assert kept_files(shared.process.pid) < MEGABYTE
    assert httpx.get(f"{shared.url}/api/tags").status_code == 200


def kept_files(pid):
    """Bytes in files without a name that the process holds; nothing to be seen but on Linux."""
    found = 0
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            if "(deleted)" in str(descriptor.readlink()):
                found += descriptor.stat().st_size
    return found


def test_forms_are_left_to_django(shared):
    no_boundary = {"Content-Type": "multipart/form-data"}
    answer = httpx.post(f"{shared.url}/api/chat", content=b"x" * 10, headers=no_boundary)
    assert answer.text == "/api/chat  10"


def test_a_client_cannot_move_the_root_of_the_paths(shared):
    answer = httpx.get(f"{shared.url}/x/api/tags", headers={"Daphne-Root-Path": "/x"})
    assert answer.text == "/x/api/tags  0"


@pytest.mark.parametrize(
    "request_head",
    [head("/api/é", method="GET"), head("/api/chat", "X-Odd: a\x0bb"), head("/api/chat", "Bad\x7f: a")],
)
def test_what_is_not_http_gets_no_page(shared, request_head):
    with shared.connection() as connection:
        connection.sendall(request_head)
        status, headers, _ = read_answer(connection)
    assert status.startswith("HTTP/1.1 400")
    assert "html" not in headers.get("content-type", "")


def test_a_failure_below_django_has_the_shape_of_the_path(shared):
    answer = httpx.get(f"{shared.url}/api/fail")
    assert answer.status_code == 500
    assert "purpose" not in answer.json()["error"]


def test_an_answer_that_fails_half_way_does_not_look_whole_and_harms_nobody_else(shared):
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{shared.url}/api/fail-late")
    assert httpx.get(f"{shared.url}/api/fail").status_code == 500


@pytest.mark.parametrize("path", ["/api/fail", "/api/fail-late", "/ws/fail"])
def test_a_failure_below_django_is_logged_for_its_request(shared, path):
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    more = (*upgrade, key) if path.startswith("/ws/") else ()
    with shared.connection() as connection:
        connection.sendall(head(path, f"X-Request-Id: mine{path}", *more, method="GET"))
        connection.recv(1)
    logged = f"ERROR [mine{path}] hugweb.server: A request failed"
    eventually(lambda: logged in shared.log.read_text(), shared.log.read_text)


def test_a_request_that_does_not_arrive_in_time_is_told_so(tmp_path):
    page = "Origin: http://localhost:3000"
    with (
        OddServer(tmp_path, REQUEST_SECONDS="0.1", HEADERS_SECONDS="0.1") as server,
        server.connection() as slow_line,
        server.connection() as slow_head,
        server.connection() as slow_body,
        server.connection() as slow_file,
    ):
        slow_line.sendall(b"PO")
        slow_head.sendall(b"POST /api/chat HTTP/1.1\r\nOrigin: http://localhost:3000\r\nHo")
        slow_body.sendall(head("/api/chat", page, "Content-Length: 9") + b"half")
        slow_file.sendall(head(f"/api/blobs/sha256:{'0' * 64}", page, "Content-Length: 9") + b"half")
        for connection in (slow_line, slow_head, slow_body, slow_file):
            status, headers, body = read_answer(connection)
            assert status.startswith("HTTP/1.1 408 ")
            assert headers["x-request-id"]
            assert b"took too long to arrive" in body
            if connection in (slow_body, slow_file):
                assert headers["access-control-allow-origin"] == "http://localhost:3000"
            assert connection.recv(1) == b""


def test_a_client_that_says_a_byte_now_and_then_is_not_waited_for(tmp_path):
    """What came before counts: a byte does not buy time."""
    with OddServer(tmp_path, HEADERS_SECONDS="0.5") as server, server.connection() as connection:
        connection.sendall(head("/api/fail"))
        assert read_answer(connection)[0].startswith("HTTP/1.1 500")
        with contextlib.suppress(ConnectionError):
            for byte in itertools.cycle(b"GET /api/chat-"):
                connection.sendall(bytes([byte]))
                if select.select([connection], [], [], 0.05)[0]:
                    break
        assert read_answer(connection)[0].startswith("HTTP/1.1 408 ")


def test_whoever_waits_without_asking_gives_way(tmp_path):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(OddServer(tmp_path, HUGWEB_MAX_CONNECTIONS="4"))
        asking = stack.enter_context(server.connection())
        asking.sendall(head("/api/forever", method="GET"))
        assert asking.recv(1)
        idle = [stack.enter_context(server.connection()) for _ in range(12)]
        for connection in idle[:-3]:
            connection.settimeout(30)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b"", "the oldest gave way"
        for connection in idle[-3:]:
            connection.sendall(head("/api/forever", method="GET"))
            assert connection.recv(1), "the newest are answered"
        with server.connection() as late:
            assert late.recv(100).startswith(b"HTTP/1.1 503 ")
        asking.close()
        eventually(lambda: httpx.get(f"{server.url}/api/x").status_code == 200, server.log.read_text)


@pytest.mark.parametrize("path", ["/ws/", "/ws/fail", "/api/x", "/api/fail-late", "nonsense"])
def test_a_connection_that_has_ended_does_not_count(tmp_path, path):
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    more = (*upgrade, key) if path.startswith("/ws/") else ()
    with OddServer(tmp_path, HUGWEB_MAX_CONNECTIONS="2") as server:
        for _ in range(5):
            with server.connection() as connection:
                connection.sendall(head(path, *more, method="GET"))
                assert connection.recv(1)
        process = psutil.Process(server.process.pid)
        eventually(lambda: not established(process), server.log.read_text)
        with server.connection() as first, server.connection() as second:
            for connection in (second, first):
                connection.sendall(head("/api/fail"))
                assert read_answer(connection)[0].startswith("HTTP/1.1 500"), "the other did not have to go"


def established(process):
    return [each for each in process.net_connections() if each.status == psutil.CONN_ESTABLISHED]


def test_an_answer_without_a_body_has_none_of_its_pieces(shared):
    with shared.connection() as connection:
        connection.sendall(
            head("/api/pieces", method="HEAD") + head("/api/pieces", "Connection: close", method="GET")
        )
        received = b""
        while piece := connection.recv(65536):
            received += piece
    told, second, body = received.split(b"\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 9" in told
    assert second.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b"onetwosix"


def test_a_stream_that_does_not_end_is_ended_with_an_error_and_the_exit_is_clean(own):
    with httpx.stream("GET", f"{own.url}/api/forever") as stream:
        pieces = stream.iter_bytes()
        assert next(pieces) == b"begun "
        own.process.send_signal(signal.SIGTERM)
        assert "shutting down" in json.loads(b"".join(pieces))["error"]
    assert own.process.wait(30) == 0


def test_the_second_signal_stops_at_once(tmp_path):
    with OddServer(tmp_path, HUGWEB_DRAIN_TIMEOUT_MS="600000") as server:
        with httpx.stream("GET", f"{server.url}/api/forever") as stream:
            pieces = stream.iter_bytes()
            next(pieces)
            server.process.send_signal(signal.SIGINT)
            eventually(lambda: httpx.get(f"{server.url}/api/x").status_code == 503, server.log.read_text)
            server.process.send_signal(signal.SIGINT)
            assert b"shutting down" in b"".join(pieces)
        assert server.process.wait(30) == 0


def test_what_was_answered_is_sent_to_its_end(own):
    with own.connection() as connection:
        connection.sendall(head("/api/large", method="GET"))
        received = len(connection.recv(1))
        own.process.send_signal(signal.SIGTERM)
        eventually(lambda: "Stopping" in own.log.read_text(), own.log.read_text)
        while piece := connection.recv(MEGABYTE):
            received += len(piece)
    assert received > LARGE
    assert own.process.wait(30) == 0


def test_a_request_that_is_still_arriving_does_not_hold_the_exit(own):
    with own.connection() as connection:
        connection.sendall(head("/api/chat", "Content-Length: 1000") + b"half")
        assert own.stop() == 0


def test_an_application_that_will_not_end_does_not_hold_the_exit(tmp_path):
    with OddServer(tmp_path, FLUSH_SECONDS="0.2") as server, server.connection() as connection:
        connection.sendall(head("/api/deaf", method="GET"))
        eventually(lambda: "deaf" in server.log.read_text(), server.log.read_text)
        assert server.stop() == 0


def test_a_websocket_that_takes_nothing_is_closed_and_little_is_kept_for_it(tmp_path):
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    with OddServer(tmp_path, HUGWEB_SEND_TIMEOUT_MS="500") as server, server.connection() as connection:
        process = psutil.Process(server.process.pid)
        before = process.memory_info().rss
        connection.sendall(head("/ws/talk", *upgrade, key, method="GET"))
        eventually(lambda: "gone after" in server.log.read_text(), server.log.read_text)
        assert process.memory_info().rss - before < 30 * MEGABYTE
    said = re.search(
        r"A websocket of /ws/talk took nothing.*gone after (\d+) MB", server.log.read_text(), re.S
    )
    assert int(said[1]) < 30


async def test_websockets_are_told_that_the_server_goes_away(own):
    async with websockets.connect(f"ws://127.0.0.1:{own.port}/ws/") as socket:
        own.process.send_signal(signal.SIGTERM)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd.code == 1001
    assert own.process.wait(30) == 0
