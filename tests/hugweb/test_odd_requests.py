"""What nobody should send, through raw sockets: always an answer, never a page of HTML, never a 5xx."""

import gzip
import json
import socket
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving import Server

PREFIXES = ["/api/", "/v1/", "/v1/messages/", "/rest/", "/graphql/", "/stream-message/", "/health/"]
ODD = ["%00", "%ff%fe", "%2e%2e/", "%2e%2e%2fx", "%", "%zz", "%ed%a0%80", "\xff", "//x", "..\\", "?%ff=%00"]
POSTED = [
    "/api/chat",
    "/v1/chat/completions",
    "/v1/messages",
    "/rest/aliases/",
    "/graphql",
    "/stream-message",
]
JSON = "application/json"
WEBSOCKET = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
ELSEWHERE = "Origin: http://localhost:3000"
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="


def send(server: Server, data: bytes) -> bytes:
    """All that comes back until the connection ends."""
    address = urlsplit(server.url)
    received = b""
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(data)
        while piece := connection.recv(65536):
            received += piece
    return received


def raw(
    server: Server, target: str, *headers: str, method: str = "GET", body: bytes = b"", host: str = ""
) -> bytes:
    lines = (f"{method} {target} HTTP/1.1", f"Host: {host or urlsplit(server.url).netloc}", *headers)
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body


def parts(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    top, _, body = answer.partition(b"\r\n\r\n")
    status, *told = top.decode("latin-1").split("\r\n")
    return int(status.split()[1]), dict(line.lower().split(": ", 1) for line in told), body


def check_refused(answer: bytes) -> int:
    """The status of ``answer``, which is a refusal for a program."""
    status, told, body = parts(answer)
    assert 400 <= status < 500
    assert told["content-type"] == JSON
    assert "error" in json.loads(body)
    return status


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_path_is_refused_as_the_api_refuses(server: Server, prefix: str, odd: str) -> None:
    answer = send(server, raw(server, prefix + odd))
    if odd.startswith("?") and prefix.rstrip("/") in POSTED:
        status, told, _ = parts(answer)
        assert (status, told["location"]) == (301, f"{prefix.rstrip('/')}{odd}"), "one slash too many"
    else:
        check_refused(answer)


@settings(max_examples=60, derandomize=True)
@given(
    prefix=st.sampled_from(PREFIXES),
    tail=st.text(st.characters(max_codepoint=255, exclude_characters=" \r\n\0"), max_size=40),
)
def test_any_path_is_refused_as_the_api_refuses(server: Server, prefix: str, tail: str) -> None:
    status, told, _ = parts(send(server, raw(server, f"{prefix}-{tail}")))
    assert 400 <= status < 500
    assert told["content-type"] == JSON


@pytest.mark.parametrize("method", ["PUT", "PATCH", "TRACE", "CONNECT", "FOO", "put", "OPTIONS"])
@pytest.mark.parametrize("path", ["/api/chat", "/v1/messages", "/v1/models", "/graphql", "/health/ready"])
def test_a_wrong_method_is_told_the_right_ones(server: Server, method: str, path: str) -> None:
    answer = send(server, raw(server, path, "Content-Length: 0", method=method))
    assert check_refused(answer) == 405
    assert parts(answer)[1]["allow"]


def test_the_case_of_a_method_changes_nothing(server: Server) -> None:
    """Else what is limited for POST would not be for `post`, which Django takes for the same."""
    body = b'{"model":"test/model","prompt":"a"}'
    headers = (f"Content-Length: {len(body)}", "Origin: http://evil.test")
    assert (
        check_refused(send(server, raw(server, "/api/generate", *headers, method="post", body=body))) == 403
    )
    assert parts(send(server, raw(server, "/api/version", method="get")))[0] == 200


@pytest.mark.parametrize("path", POSTED)
@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: -1",),
        ("Content-Length: x",),
        ("Content-Length: +3",),
        ("Content-Length: 2", "Content-Length: 3"),
        ("Content-Length: 99999999999999999999",),
        ("Transfer-Encoding: gzip",),
        ("Transfer-Encoding: chunked", "Content-Length: 3"),
    ],
)
def test_a_length_that_cannot_be_meant_is_refused(
    server: Server, path: str, headers: tuple[str, ...]
) -> None:
    check_refused(send(server, raw(server, path, *headers, method="POST")))


@pytest.mark.parametrize("path", POSTED)
@pytest.mark.parametrize("body", [b"zz\r\n{}\r\n0\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n", b"2\r\n{}xx0\r\n\r\n"])
def test_chunks_that_are_none_are_refused(server: Server, path: str, body: bytes) -> None:
    chunked = "Transfer-Encoding: chunked"
    assert check_refused(send(server, raw(server, path, chunked, method="POST", body=body))) == 400


def test_trailers_and_extensions_of_chunks_are_passed_over(server: Server) -> None:
    body = b'f;a=b\r\n{"model":"no/x"\r\n1\r\n}\r\n0\r\nX-Trailer: 1\r\n\r\n'
    answer = send(server, raw(server, "/api/show", "Transfer-Encoding: chunked", method="POST", body=body))
    assert json.loads(parts(answer)[2]) == {"error": "model 'no/x:latest' not found"}


@pytest.mark.parametrize("path", POSTED)
@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe", b"[]", b"null", b"NaN", b'{"a":' + b"[" * 5000, b'{"model":"\\ud800"}', b'{"a":1e999}'],
)
@pytest.mark.parametrize("kind", [JSON, "text/plain; charset=utf-99", "application/json;;=\xff"])
def test_a_body_that_is_none_is_refused(server: Server, path: str, body: bytes, kind: str) -> None:
    headers = (f"Content-Length: {len(body)}", f"Content-Type: {kind}")
    check_refused(send(server, raw(server, path, *headers, method="POST", body=body)))


@pytest.mark.parametrize("path", POSTED)
@pytest.mark.parametrize("coding", ["gzip", "br, gzip", "Zstd"])
def test_a_compressed_body_is_refused_in_so_many_words(server: Server, path: str, coding: str) -> None:
    body = gzip.compress(b'{"model":"test/model"}')
    for length in (f"Content-Length: {len(body)}", "Transfer-Encoding: chunked"):
        answer = send(
            server,
            raw(server, path, length, f"Content-Encoding: {coding}", ELSEWHERE, method="POST", body=body),
        )
        assert check_refused(answer) == 415
        assert b"without Content-Encoding" in answer
        assert parts(answer)[1]["access-control-allow-origin"] == "http://localhost:3000"


def test_a_coding_that_changes_nothing_is_taken(server: Server) -> None:
    body = b'{"model":"no/x"}'
    for coding in ("identity", "", "utf-8"):
        headers = (f"Content-Length: {len(body)}", f"Content-Encoding: {coding}")
        answer = send(server, raw(server, "/api/show", *headers, method="POST", body=body))
        assert json.loads(parts(answer)[2]) == {"error": "model 'no/x:latest' not found"}
    assert parts(send(server, raw(server, "/api/version", "Content-Encoding: gzip")))[0] == 200


def test_what_cannot_be_read_as_http_is_told_so(server: Server) -> None:
    for data in (
        b"GET /api/tags\r\n\r\n",
        b"GET /api/tags HTTP/9.9\r\n\r\n",
        raw(server, "/api/tags", "no colon"),
    ):
        assert check_refused(send(server, data)) == 400
    for data in (b"\x16\x03\x01\x02\r\n\r\n", b"GET  HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\n"):
        status, told, _ = parts(send(server, data))
        assert (status, told["content-type"]) == (400, "text/plain; charset=utf-8")


def test_an_address_or_headers_without_end_are_told_so(server: Server) -> None:
    assert check_refused(send(server, raw(server, "/v1/" + "a" * 20_000))) == 414
    assert check_refused(send(server, raw(server, "/v1/models", "X: " + "a" * 20_000))) == 431
    assert check_refused(send(server, raw(server, "/v1/models", *(f"X-{n}: 1" for n in range(600))))) == 431


BELOW = {
    "too large": (("Content-Length: 99999999999", ELSEWHERE), b"", 413),
    "absurdly large": ((ELSEWHERE, f"Content-Length: {'9' * 5000}"), b"", 413),
    "no length": ((ELSEWHERE, "Content-Length: x"), b"", 400),
    "no chunk": ((ELSEWHERE, "Transfer-Encoding: chunked"), b"x\r\n", 400),
    "no header": ((ELSEWHERE, "X-Request-Id: mine", "no colon"), b"", 400),
    "a header without end": ((ELSEWHERE, "X-Request-Id: mine", "X: " + "a" * 20_000), b"", 431),
    "no value": ((ELSEWHERE, "X-Odd: a\x0bb"), b"", 400),
    "two hosts": ((ELSEWHERE, "Host: localhost"), b"", 400),
}


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages", "/rest/aliases/"])
@pytest.mark.parametrize("case", BELOW)
def test_a_page_of_another_origin_can_read_what_is_wrong(server: Server, path: str, case: str) -> None:
    """Also where that is said before the guard has seen the request."""
    headers, body, status = BELOW[case]
    answer = send(server, raw(server, path, *headers, method="POST", body=body))
    assert check_refused(answer) == status
    _, told, _ = parts(answer)
    assert told["access-control-allow-origin"] == "http://localhost:3000"
    assert "x-request-id" in told["access-control-expose-headers"]
    assert (told["vary"], bool(told["x-request-id"])) == ("origin", True)
    assert ("request-id" in told) == (path == "/v1/messages")


@pytest.mark.parametrize("case", BELOW)
def test_nobody_else_can(server: Server, case: str) -> None:
    headers, body, status = BELOW[case]
    own = f"Origin: {server.url}"
    for path, origin in [
        ("/api/chat", "Origin: http://evil.test"),
        ("/api/chat", f"{ELSEWHERE}\r\n{ELSEWHERE}"),
        ("/api/chat", own),
        ("/chat/", ELSEWHERE),
    ]:
        given = [origin if header == ELSEWHERE else header for header in headers]
        found, told, _ = parts(send(server, raw(server, path, *given, method="POST", body=body)))
        assert found in {status, 403}
        assert "access-control-allow-origin" not in told
        assert told.get("vary") == (None if path == "/chat/" else "origin")


@pytest.mark.parametrize("path", ["/chat/completions", "/metrics/", "/graphql%00", "/api%ff"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_program_at_a_wrong_address_gets_no_page(server: Server, path: str, method: str) -> None:
    status, told, body = parts(send(server, raw(server, path, "Content-Length: 0", method=method)))
    assert (status, told["content-type"]) == (404, "text/plain; charset=utf-8")
    assert body == b"404 page not found"
    status, told, _ = parts(send(server, raw(server, path, "Accept: text/html,*/*")))
    assert (status, told["content-type"]) == (404, "text/html; charset=utf-8")


def test_an_old_client_gets_its_answer_and_its_end(server: Server) -> None:
    body = b'{"model":"test/model","prompt":"a b"}'
    lines = ("POST /api/generate HTTP/1.0", "Host: localhost", f"Content-Length: {len(body)}", "", "")
    status, told, said = parts(send(server, "\r\n".join(lines).encode() + body))
    assert (status, "transfer-encoding" in told) == (200, False)
    assert [json.loads(line)["done"] for line in said.splitlines()] == [False, False, True]


def test_requests_that_follow_at_once_are_answered_in_their_order(server: Server) -> None:
    first = raw(server, "/api/version").replace(b"Connection: close\r\n", b"")
    answers = send(server, first * 3 + raw(server, "/api/nothing"))
    assert [piece.split()[0] for piece in answers.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"200", b"404"]


def test_a_client_that_asks_first_is_told_to_go_on(server: Server) -> None:
    headers = ("Expect: 100-continue", "Content-Length: 2")
    answer = send(server, raw(server, "/api/show", *headers, method="POST", body=b"{}"))
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 ")


def test_a_whole_address_says_which_host_is_meant(server: Server) -> None:
    """As clients of a proxy write it (RFC 9112, 3.2.2): the Host header does not count then."""
    status, _, body = parts(send(server, raw(server, f"{server.url}/api/version", host="evil.test")))
    assert (status, "version" in json.loads(body)) == (200, True)
    answer = send(server, raw(server, "http://evil.test/api/version"))
    assert check_refused(answer) == 403
    assert parts(send(server, raw(server, server.url)))[2] == b"Ollama is running"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/api/chat", (*WEBSOCKET, KEY), 403),
        ("/ws/%00", (*WEBSOCKET, KEY), 403),
        ("/ws/chat/", (*WEBSOCKET, KEY, "Origin: null"), 403),
        ("/ws/chat/", (*WEBSOCKET, KEY, "Sec-WebSocket-Protocol: \xff"), 400),
        ("/ws/chat/", WEBSOCKET, 400),
        ("/api/tags", ("Upgrade: websocket",), 400),
    ],
)
def test_a_websocket_that_cannot_be_is_refused(
    server: Server, path: str, headers: tuple[str, ...], status: int
) -> None:
    logged = server.output().count("Traceback")
    assert (
        parts(send(server, raw(server, path, *headers).replace(b"Connection: close\r\n", b"")))[0] == status
    )
    assert server.output().count("Traceback") == logged
