"""What a running server answers and refuses at its edges, through real sockets."""

import socket

import httpx
import pytest
import websockets

from tests.serving import page

BROWSER = {"Accept": "text/html,*/*;q=0.8"}


def test_the_root_is_ollamas_for_clients_and_the_chat_for_browsers(server):
    assert httpx.get(server.url).text == "Ollama is running"
    assert httpx.head(server.url).status_code == 200
    assert httpx.get(server.url, headers=BROWSER).headers["location"] == "/chat/"
    assert httpx.post(server.url).status_code == 405


@pytest.mark.parametrize(
    "path", ["/api/no-such", "/api", "/api/", "/v1/no-such", "/v1/messages/x", "/api/chat/x"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_api_path_is_answered_in_json(server, path, method):
    answer = httpx.request(method, server.url + path)
    assert answer.status_code == 404
    assert "404 page not found" in str(answer.json()["error"])


@pytest.mark.parametrize(
    "path", ["/", "/api/tags", "/v1/models", "/chat/", "/static/admin/css/base.css", "/health/live"]
)
@pytest.mark.parametrize("headers", [{"Host": "evil.test"}, {"Origin": "http://evil.test"}])
def test_a_foreign_host_or_page_is_refused_everywhere(server, path, headers):
    assert httpx.get(server.url + path, headers=headers).status_code == 403


@pytest.mark.parametrize("hosts", ["", "Host: localhost\r\nHost: localhost\r\n"])
def test_a_host_that_is_missing_or_repeated_is_refused(server, hosts):
    with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port), timeout=30) as connection:
        connection.sendall(f"GET /api/tags HTTP/1.1\r\n{hosts}\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 400")


def test_a_preflight_and_the_call_after_it(server):
    origin = {"Origin": "http://localhost:3000"}
    preflight = httpx.options(f"{server.url}/api/chat", headers=origin)
    assert preflight.status_code == 204
    answer = httpx.get(f"{server.url}/api/version", headers=origin)
    assert answer.headers["access-control-allow-origin"] == origin["Origin"]


def test_static_files_are_served_from_where_they_lie(server):
    answer = httpx.get(f"{server.url}/static/admin/css/base.css")
    assert answer.headers["content-type"].startswith("text/css")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert httpx.get(f"{server.url}/static/no-such.css").status_code == 404
    assert httpx.get(f"{server.url}/static/../hugweb/settings.py").status_code == 404


async def test_the_websocket_is_for_our_own_page(server):
    for origin in ["http://evil.test", "http://localhost:3000", "null", None]:
        assert await handshake(server.url, "/ws/chat/", origin) == 403
    assert await handshake(server.url, "/ws/no/such/", server.url) == 403
    evil = f"http://evil.test:{httpx.URL(server.url).port}"
    assert await handshake(evil, "/ws/chat/", evil) == 403


async def handshake(url, path, origin, **headers):
    """The status that a websocket is answered with; whatever ``url`` says, this machine is asked."""
    port = httpx.URL(url).port
    try:
        async with websockets.connect(
            url.replace("http", "ws", 1) + path,
            host="127.0.0.1",
            port=port,
            origin=origin,
            additional_headers=headers,
        ):
            return 101
    except websockets.InvalidStatus as error:
        return error.response.status_code


async def test_a_websocket_without_a_login_is_closed(server):
    async with page(server) as socket:
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
    assert socket.close_code == 4401
