"""The id of a request: in every answer, whoever gives it, and on the lines that are logged for it."""

import logging
import re
import socket
from urllib.parse import urlsplit

import httpx
import pytest
import websockets

from inference.request_id import RequestIds, id_for, identified
from tests.serving import MODEL, eventually, page

MADE = re.compile(r"req_[0-9a-f]{24}")
WEBSOCKET = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "one two"}], "max_tokens": 5}


def ask(server, opening, *headers, host=""):
    """Status line and headers of the answer to a raw request."""
    address = urlsplit(server.url)
    lines = (opening, f"Host: {host or address.netloc}", "Connection: close", *headers)
    received = b""
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        while b"\r\n\r\n" not in received:
            received += (piece := connection.recv(65536))
            assert piece, "hung up without an answer"
    status, *told = received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    return status, dict(line.lower().split(": ", 1) for line in told)


@pytest.mark.parametrize(
    ("status", "opening", "headers"),
    [
        (200, "GET /api/version HTTP/1.1", ()),
        (200, "GET /health/live HTTP/1.0", ()),
        (200, "GET /static/icon.svg HTTP/1.1", ()),
        (404, "GET /static/nothing.svg HTTP/1.1", ()),
        (404, "GET /v1/nothing HTTP/1.1", ()),
        (405, "PUT /api/chat HTTP/1.1", ("Content-Length: 0",)),
        (302, "GET /chat/ HTTP/1.1", ()),
        (403, "GET /api/tags HTTP/1.1", ("Origin: http://evil.test",)),
        (204, "OPTIONS /api/tags HTTP/1.1", ("Origin: http://localhost:3000",)),
        (413, "POST /api/chat HTTP/1.1", ("Content-Length: 99999999999",)),
        (400, "GET /api/tags HTTP/7.1", ()),
        (400, "GET /api/tags HTTP/1.1", ("Bad Name: x",)),
        (414, f"GET /api/{'a' * 20_000} HTTP/1.1", ()),
        (431, "GET /api/tags HTTP/1.1", (f"X-Long: {'a' * 20_000}",)),
        (403, "GET /ws/nothing HTTP/1.1", (WEBSOCKET, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")),
        (400, "GET /ws/chat/ HTTP/1.1", ("Upgrade: websocket",)),
    ],
)
def test_every_answer_has_one(server, status, opening, headers):
    line, told = ask(server, opening, *headers)
    assert int(line.split()[1]) == status
    assert MADE.fullmatch(told["x-request-id"])


def test_two_requests_have_two(server):
    with httpx.Client(base_url=server.url) as client:
        assert len({client.get("/api/version").headers["x-request-id"] for _ in range(3)}) == 3


@pytest.mark.parametrize(
    "path", ["/api/chat", "/v1/chat/completions", "/v1/messages", "/v1/nothing", "/chat/"]
)
@pytest.mark.parametrize(
    "brought", ["a", "8f14e45f-ceea-467f-9bd6-1d3e5a8f4c7b", "Root=1-67891233:a/b+c.d_e@f"]
)
def test_a_clients_own_is_taken(server, path, brought):
    answer = httpx.post(server.url + path, json={**CHAT, "stream": True}, headers={"X-Request-Id": brought})
    assert answer.headers["x-request-id"] == brought


@pytest.mark.parametrize("brought", ["", "a b", "-a", "a\tb", "é", "a" * 129, "[x]", 'a"b', "a,b"])
def test_one_that_could_spoil_a_log_is_not(server, brought):
    _, told = ask(server, "GET /api/version HTTP/1.1", f"X-Request-Id: {brought}")
    assert MADE.fullmatch(told["x-request-id"])


def test_of_two_that_a_client_brings_none_is_taken(server):
    _, told = ask(server, "GET /api/version HTTP/1.1", "X-Request-Id: a", "X-Request-Id: b")
    assert MADE.fullmatch(told["x-request-id"])


async def test_the_handshake_of_a_websocket_tells_it(server):
    async with page(server) as socket:
        assert MADE.fullmatch(socket.response.headers["X-Request-Id"])
    address = server.url.replace("http", "ws", 1) + "/ws/chat/"
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with websockets.connect(address, additional_headers={"X-Request-Id": "mine"}):
            pass
    assert refused.value.response.headers["X-Request-Id"] == "mine"


def test_anthropics_clients_find_it_where_they_look(server):
    answer = httpx.post(f"{server.url}/v1/messages", json={})
    assert answer.headers["request-id"] == answer.headers["x-request-id"] == answer.json()["request_id"]


def test_a_line_that_is_logged_for_a_request_names_it(server):
    httpx.get(f"{server.url}/api/nothing", headers={"X-Request-Id": "find-me"})
    logged = re.compile(r"WARNING \[find-me\] django.request: Not Found: /api/nothing")
    eventually(lambda: logged.search(server.output()), server.output)


def test_a_line_that_is_logged_for_nobody_says_so():
    record = logging.LogRecord("x", logging.INFO, "x", 1, "x", None, None)
    assert RequestIds().filter(record)
    assert record.request_id == "-"
    with identified("y"):
        RequestIds().filter(record)
    assert record.request_id == "y"


def test_new_ones_are_sane():
    assert id_for([made := id_for(())]) == made


def test_the_page_of_another_origin_may_read_it(server):
    _, told = ask(server, "GET /api/version HTTP/1.1", "Origin: http://localhost:3000")
    assert "x-request-id" in told["access-control-expose-headers"]
