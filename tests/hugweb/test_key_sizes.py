"""Keys with a limit for bodies: refused in the dialect's own shape, and before what is too large is kept."""

import asyncio
import json
import socket
import threading
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from inference.protocol import Text
from tests.hugweb.test_server import kept_files, read_answer
from tests.serving import MODEL, Server, engine_thread, eventually, fill_home, run_python

MEGABYTE = 2**20
MOST = 100_000
# Three keys of one user: with a limit, without one, and one that may send files with a larger limit.
KEYS = f"""
import django; django.setup()
from django.contrib.auth.models import User
from inference.keys.services import key_create
boss = User.objects.create_superuser("boss")
for name, most in (("small", {MOST}), ("any", None), ("files", {MEGABYTE})):
    print(key_create(user=boss, name=name, scopes=["generate", "read", "manage"], bytes_per_request=most)[1])
"""
CHAT = {"model": MODEL, "max_tokens": 5, "messages": [{"role": "user", "content": "x" * 2 * MOST}]}
PROMPT = {"model": MODEL, "prompt": "x" * 2 * MOST}
BODIES = {
    "/api/chat": CHAT,
    "/api/generate": PROMPT,
    "/api/embed": {"model": MODEL, "input": "x" * 2 * MOST},
    "/v1/chat/completions": CHAT,
    "/v1/completions": PROMPT,
    "/v1/messages": CHAT,
    "/v1/responses": {"model": MODEL, "input": "x" * 2 * MOST},
    "/stream-message": {"message": "x" * 2 * MOST},
    "/graphql": {"query": "x" * 2 * MOST},
    "/rest/aliases/": {"name": "x", "model": MODEL, "system": "x" * 2 * MOST},
}
SAID = f"This key may send at most {MOST} bytes in a request."


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sizes")
    fill_home(folder / "home")
    small, any_, files = run_python(KEYS, folder / "home").split()
    with engine_thread(folder / "e.sock") as engine, Server(folder / "home", engine=engine) as server:
        server.keys = {"small": small, "any": any_, "files": files}
        server.engine = engine
        yield server


def connect(server):
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=30)


def head(server, path, *headers, key="small"):
    bearer = f"Authorization: Bearer {server.keys[key]}"
    lines = (f"POST {path} HTTP/1.1", "Host: localhost", bearer, *headers, "", "")
    return "\r\n".join(lines).encode()


def message_of(path, body):
    error = json.loads(body)["error"]
    return error if path.startswith("/api/") else error["message"]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", BODIES)
def test_what_is_too_large_is_413_in_the_dialects_shape(server, path, chunked):
    data = json.dumps(BODIES[path]).encode()
    content = (data[at : at + 10_000] for at in range(0, len(data), 10_000)) if chunked else data
    headers = {"Authorization": f"Bearer {server.keys['small']}", "Content-Type": "application/json"}
    answer = httpx.post(server.url + path, content=content, headers=headers)
    assert (answer.status_code, message_of(path, answer.content)) == (413, SAID)
    headers["Authorization"] = f"Bearer {server.keys['any']}"
    assert httpx.post(server.url + path, content=data, headers=headers).status_code != 413


@pytest.mark.parametrize("header", ["x-api-key", "api-key"])
def test_the_limit_holds_wherever_the_key_is_sent(server, header):
    data = json.dumps(CHAT).encode()
    answer = httpx.post(f"{server.url}/v1/messages", content=data, headers={header: server.keys["small"]})
    assert (answer.status_code, answer.json()["error"]["message"]) == (413, SAID)
    assert answer.json()["error"]["type"] == "request_too_large"


@pytest.mark.parametrize("size", [MOST, MOST + 1])
def test_the_limit_is_to_the_byte(server, size):
    body = json.dumps({"model": MODEL, "prompt": ""}).encode()
    body = body[:-2] + b"x" * (size - len(body)) + body[-2:]
    headers = {"Authorization": f"Bearer {server.keys['small']}"}
    answer = httpx.post(f"{server.url}/api/generate", content=body, headers=headers)
    assert (len(body), answer.status_code) == (size, 200 if size == MOST else 413)


def test_a_declared_body_is_refused_before_it_is_sent(server):
    with connect(server) as connection:
        connection.sendall(head(server, "/api/chat", f"Content-Length: {20 * MEGABYTE}"))
        status, headers, body = read_answer(connection)
    assert (status.split()[1], headers["connection"]) == ("413", "close")
    assert json.loads(body) == {"error": SAID}


def test_a_client_that_asks_first_is_told_to_go_on_only_if_it_may(server):
    asks = (f"Content-Length: {2 * MOST}", "Expect: 100-continue")
    with connect(server) as connection:
        connection.sendall(head(server, "/api/chat", *asks))
        assert read_answer(connection)[0].split()[1] == "413"
    with connect(server) as connection:
        connection.sendall(head(server, "/api/chat", *asks, key="any"))
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{" + b" " * (2 * MOST - 1))
        assert read_answer(connection)[0].split()[1] == "400"


@pytest.mark.parametrize("chunked", [False, True])
def test_nothing_of_it_is_kept(server, chunked):
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    headers = {"Authorization": f"Bearer {server.keys['small']}"}
    if not chunked:
        headers["Content-Length"] = str(30 * MEGABYTE)
    pieces = (b"x" * MEGABYTE for _ in range(30))
    assert httpx.post(f"{server.url}/api/chat", content=pieces, headers=headers).status_code == 413
    assert process.memory_info().rss - before < 5 * MEGABYTE
    assert kept_files(server.process.pid) < MEGABYTE


@pytest.mark.parametrize("chunked", [False, True])
def test_files_are_held_to_it_too(server, chunked):
    data = b"x" * (2 * MEGABYTE)
    content = (data[at : at + MOST] for at in range(0, len(data), MOST)) if chunked else data
    headers = {"Authorization": f"Bearer {server.keys['files']}"}
    answer = httpx.post(f"{server.url}/api/blobs/sha256:{'0' * 64}", content=content, headers=headers)
    said = f"This key may send at most {MEGABYTE} bytes in a request."
    assert (answer.status_code, answer.json()) == (413, {"error": said})
    assert not list((server.home / "models").rglob("*part*"))


@pytest.mark.parametrize("key", ["hw_aaaaaaaa_" + "a" * 43, "ollama"])
def test_a_key_that_is_none_has_no_limit_of_its_own(server, key):
    headers = {"Authorization": f"Bearer {key}"}
    answer = httpx.post(f"{server.url}/api/chat", content=b"{" + b" " * 2 * MOST, headers=headers)
    assert answer.status_code == (401 if key.startswith("hw_") else 400)


def test_a_client_that_was_asked_about_and_leaves_ends_its_request(server):
    begun = threading.Event()

    async def script(request):
        yield Text(text="x")
        begun.set()
        await asyncio.Event().wait()

    server.engine.script, script_before = script, server.engine.script
    data = json.dumps(CHAT).encode()
    with connect(server) as connection:
        connection.sendall(head(server, "/api/chat", f"Content-Length: {len(data)}", key="any") + data)
        assert begun.wait(30)
        assert server.engine.closed == 0
    eventually(lambda: server.engine.closed == 1, lambda: "still being answered")
    server.engine.script = script_before


def test_a_connection_that_was_asked_about_is_used_again(server):
    headers = {"Authorization": f"Bearer {server.keys['any']}"}
    with httpx.Client(base_url=server.url, headers=headers) as client:
        for _ in range(3):
            assert client.post("/api/chat", content=b"[" * 2 * MOST).status_code == 400
        body = {**CHAT, "stream": False}
        assert client.post("/api/chat", json=body).json()["message"]["content"] == "x" * 2 * MOST + " "
