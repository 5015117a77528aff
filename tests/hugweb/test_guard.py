"""The gate, asked directly; ``test_server`` asks it through real sockets."""

import json
import socket

import pytest

from hugweb.guard import Guard

HOST = "localhost:11434"
OWN = f"http://{HOST}"


class Answer:
    def __init__(self, messages):
        self.passed = messages == [{"type": "passed"}]
        self.status = messages[0].get("status", messages[0]["type"])
        self.headers = {k.decode(): v.decode() for k, v in messages[0].get("headers", ())}
        self.body = b"".join(message.get("body", b"") for message in messages)


async def ask(guard, path="/api/tags", method="GET", host=HOST, type="http", **headers):
    hosts = [host] if isinstance(host, str) else host
    raw = [(b"host", value.encode()) for value in hosts]
    raw += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    messages = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        messages.append(message)

    scope = {"type": type, "path": path, "method": method, "headers": raw}
    await guard({**scope, "scheme": "http"} if type == "http" else scope, receive, send)
    return Answer(messages)


async def passed(scope, receive, send):
    if scope.get("path") == "/api/answer":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"vary", b"Accept")]})
        await send({"type": "http.response.body", "body": b"answer"})
    else:
        await send({"type": "passed"})


@pytest.fixture
def make(settings):
    def make(host="127.0.0.1", hosts=(), origins=()):
        settings.HOST, settings.EXTRA_HOSTS, settings.EXTRA_ORIGINS = host, hosts, origins
        settings.ON_LOOPBACK = host in {"127.0.0.1", "::1", "localhost"}
        return Guard(passed)

    return make


PATHS = ["/", "/api/tags", "/v1/models", "/chat/", "/static/a.js", "/health/live", "/admin/", "/no/such"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "localhost.evil.test",
        "internal",
        "docker.internal.evil.test",
        "8.8.8.8",
        "172.32.0.1",
        "[2001:db8::1]",
        "127.1",
        "2130706433",
    ],
)
async def test_a_foreign_host_is_refused_on_every_path(make, path, host):
    assert (await ask(make(), path, host=host)).status == 403


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:1",
        "a.localhost:80",
        "127.0.0.1:11434",
        "127.9.9.9",
        "[::1]:11434",
        "0.0.0.0:11434",
        "[::]:11434",
        "localhost.:1",
    ],
)
async def test_the_names_of_loopback_are_ours_with_any_port(make, path, host):
    assert (await ask(make(), path, host=host)).passed


@pytest.mark.parametrize("host", ["host.docker.internal:11434", "box.local", "BOX.LOCAL.", "a.b.internal:1"])
async def test_names_that_nobody_on_the_net_can_have_are_ours(make, host):
    """Containers call their host so; a page that would rebind a name cannot have one of these."""
    assert (await ask(make(), "/api/tags", host=host)).passed
    for evil in (f"{host.split(':')[0].rstrip('.')}.evil.test", "local", "internal", "evillocal"):
        assert (await ask(make(), "/api/tags", host=evil)).status == 403


@pytest.mark.parametrize("host", ["192.168.1.5", "10.0.0.1:80", "172.16.3.4", "[fd00::1]:11434"])
async def test_no_address_can_be_rebound_and_private_ones_are_ours(make, host):
    assert (await ask(make(), "/api/tags", host=host)).passed


async def test_the_machines_own_name_and_further_names_are_ours(make):
    guard = make(hosts=("Chat.example.com",))
    assert (await ask(guard, host=f"{socket.gethostname()}:11434")).passed
    assert (await ask(guard, host="chat.example.com")).passed
    assert (await ask(guard, host="x.chat.example.com")).status == 403


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.test"]])
async def test_a_host_that_is_missing_or_repeated_is_refused(make, path, hosts):
    assert (await ask(make(), path, host=hosts)).status == 400


@pytest.mark.parametrize(
    "host",
    ["", "local host", "localhost:", "localhost:x", "a@localhost", "localhost/x", "a,localhost", "[::1"],
)
async def test_a_host_that_is_no_host_is_refused(make, host):
    assert (await ask(make(), host=host)).status == 403


@pytest.mark.parametrize(
    "host", ["192.168.1.5:11434", "10.0.0.1", "[2001:db8::1]:1", "localhost", "127.0.0.1"]
)
async def test_on_a_network_address_any_ip_literal_is_ours(make, host):
    assert (await ask(make("0.0.0.0"), "/chat/", host=host)).passed
    assert (await ask(make("192.168.1.5"), "/chat/", host=host)).passed
    assert (await ask(make("0.0.0.0"), "/chat/", host="evil.test")).status == 403


async def test_on_a_network_name_that_name_is_ours(make):
    guard = make("box.lan")
    assert (await ask(guard, "/chat/", host="Box.lan:11434")).passed
    assert (await ask(guard, "/chat/", host="evil.test")).status == 403


async def test_a_refusal_speaks_the_dialect_of_its_path(make):
    guard = make()
    ollama = await ask(guard, "/api/tags", host="evil.test")
    assert ollama.headers["content-type"] == "application/json"
    assert isinstance(json.loads(ollama.body)["error"], str)
    assert (
        json.loads((await ask(guard, "/v1/models", host="evil.test")).body)["error"]["type"]
        == "permission_error"
    )
    assert json.loads((await ask(guard, "/v1/messages", host="evil.test")).body)["type"] == "error"
    assert (await ask(guard, "/chat/", host="evil.test")).headers["content-type"].startswith("text/plain")


FOREIGN = [
    "http://evil.test",
    "https://localhost:11434",
    "http://localhost:3000",
    "http://localhost",
    "http://127.0.0.1:11434",
    "http://localhost:11434.evil.test",
    "app://x",
]


@pytest.mark.parametrize("origin", [*FOREIGN, "null", ""])
async def test_a_websocket_needs_exactly_our_origin(make, origin):
    refused = await ask(make(), "/ws/chat/", type="websocket", origin=origin)
    assert refused.status == "websocket.close"


async def test_a_websocket_from_our_own_page_passes_and_one_without_origin_does_not(make):
    assert (await ask(make(), "/ws/chat/", type="websocket", origin=OWN)).passed
    assert (await ask(make(), "/ws/chat/", type="websocket")).status == "websocket.close"
    assert (
        await ask(make(), "/ws/chat/", type="websocket", host="evil.test", origin="http://evil.test")
    ).status == ("websocket.close")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("path", ["/chat/", "/admin/", "/login/", "/static/a.js", "/health/live"])
async def test_a_foreign_page_gets_nothing_that_a_session_opens(make, path, origin, method):
    answer = await ask(make(), path, method, origin=origin)
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers


async def test_a_proxy_s_address_is_that_of_our_own_pages(make, settings):
    settings.PUBLIC_ORIGIN = "https://chat.test"
    guard = make(hosts=("chat.test",))
    given = {"host": "chat.test", "origin": "https://chat.test"}
    assert (await ask(guard, "/login/", method="POST", **given)).passed
    assert (await ask(guard, "/ws/chat/", type="websocket", **given)).passed
    for origin in ("https://evil.test", "http://chat.test.evil.test", "https://chat.test.evil.test"):
        assert (await ask(guard, "/login/", method="POST", host="chat.test", origin=origin)).status == 403


async def test_null_may_look_but_not_touch(make):
    assert (await ask(make(), "/chat/", "GET", origin="null")).passed
    assert (await ask(make(), "/chat/", "POST", origin="null")).status == 403
    assert (await ask(make(), "/api/tags", "GET", origin="null")).status == 403


@pytest.mark.parametrize("path", ["/chat/", "/api/chat", "/v1/models"])
async def test_our_own_page_passes_without_cors(make, path):
    assert (await ask(make(), path, "POST", origin=OWN)).passed
    assert (await ask(make(), path, "POST", origin=OWN, sec_fetch_site="same-origin")).passed


@pytest.mark.parametrize("path", ["/", "/api/chat", "/v1/models"])
@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost",
        "https://localhost:3000",
        "http://127.0.0.1:8080",
        "http://0.0.0.0:1",
        "app://obsidian.md",
        "file://",
        "tauri://localhost",
        "vscode-webview://abc",
        "vscode-file://vscode-app",
    ],
)
async def test_ollamas_default_origins_may_call_the_api(make, path, origin):
    for method in ("GET", "POST"):
        assert (await ask(make(), path, method, origin=origin, sec_fetch_site="cross-site")).passed


@pytest.mark.parametrize("path", ["/", "/api/chat", "/v1/models"])
@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.test",
        "http://localhost.evil.test",
        "http://localhost:1@evil.test",
        "http://localhost:x",
        "null",
        "xapp://x",
        "https://evil.test/http://localhost",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_other_pages_may_not_call_the_api(make, path, origin, method):
    assert (await ask(make(), path, method, origin=origin)).status == 403


async def test_the_setting_adds_origins(make):
    guard = make(origins=("https://app.example.com", "https://*.tools.test", "chrome-extension://*"))
    for origin in ("https://app.example.com", "https://a.b.tools.test", "chrome-extension://abc"):
        assert (await ask(guard, origin=origin)).passed
    for origin in ("http://app.example.com", "https://app.example.com.evil.test", "https://tools.test"):
        assert (await ask(guard, origin=origin)).status == 403


async def test_a_preflight_is_answered_by_the_gate(make):
    """47"""
    answer = await ask(make(), "/api/chat", "OPTIONS", origin="http://localhost:3000")
    assert answer.status == 204
    assert answer.body == b""
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert answer.headers["vary"] == "Origin"
    assert answer.headers["access-control-max-age"] == "43200"
    assert {"GET", "POST", "DELETE", "HEAD"} <= set(
        answer.headers["access-control-allow-methods"].split(", ")
    )
    allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert {
        "authorization",
        "content-type",
        "x-api-key",
        "anthropic-version",
        "x-stainless-runtime-version",
    } <= set(allowed)
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_preflight_that_asks_for_a_private_network_is_told_so_if_it_may(make):
    wanted = {"access_control_request_private_network": "true"}
    name = "access-control-allow-private-network"
    allowed = await ask(make(), "/api/chat", "OPTIONS", origin="http://localhost:3000", **wanted)
    assert (allowed.status, allowed.headers[name]) == (204, "true")
    refused = await ask(make(), "/api/chat", "OPTIONS", origin="http://evil.test", **wanted)
    assert (refused.status, name in refused.headers) == (403, False)
    assert name not in (await ask(make(), "/api/chat", "OPTIONS", origin="http://localhost:3000")).headers


async def test_an_allowed_page_can_read_that_a_host_is_not(make):
    guard = make()
    given = {"host": "chat.test", "origin": "http://localhost:3000"}
    for method in ("GET", "POST", "OPTIONS"):
        refused = await ask(guard, "/api/chat", method, **given)
        assert (refused.status, "host name" in refused.body.decode()) == (403, True)
        assert refused.headers["access-control-allow-origin"] == "http://localhost:3000"
        assert "access-control-allow-methods" not in refused.headers
    for origin in ("http://chat.test", "http://evil.test"):
        refused = await ask(guard, "/api/chat", "POST", host="chat.test", origin=origin)
        assert (refused.status, "access-control-allow-origin" in refused.headers) == (403, False)


@pytest.mark.parametrize("given", [{}, {"origin": OWN}, {"origin": "http://evil.test"}])
async def test_caches_are_told_that_an_answer_depends_on_who_asks(make, given):
    assert (await ask(make(), "/api/answer", **given)).headers["vary"] == "Origin"


async def test_only_an_answer_to_an_allowed_page_has_cors_headers(make):
    answer = await ask(make(), "/api/answer", origin="http://localhost:3000")
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    for headers in ({}, {"origin": OWN}):
        assert "access-control-allow-origin" not in (await ask(make(), "/api/answer", **headers)).headers


@pytest.mark.parametrize("path", ["/chat/", "/api/chat"])
async def test_a_foreign_page_that_hides_its_origin_may_not_touch(make, path):
    assert (await ask(make(), path, "POST", sec_fetch_site="cross-site")).status == 403
    assert (await ask(make(), path, "GET", sec_fetch_site="cross-site")).passed
    assert (await ask(make(), path, "POST", sec_fetch_site="none")).passed
    assert (await ask(make(), path, "POST")).passed


@pytest.mark.parametrize(
    "path", ["/", "/api/version", "/api/chat", "/api/no-such", "/v1/models", "/v1/messages"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_on_a_network_address_the_api_needs_a_key(make, path, method):
    answer = await ask(make("0.0.0.0"), path, method)
    assert answer.status == 401
    assert "key" in answer.body.decode()
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/chat/", "/login/", "/health/live", "/health/ready", "/static/a.js"])
async def test_on_a_network_address_pages_and_health_need_no_key(make, path):
    assert (await ask(make("0.0.0.0"), path)).passed


async def test_on_a_network_address_a_browser_still_finds_the_chat(make):
    assert (await ask(make("0.0.0.0"), "/", accept="text/html,*/*")).passed


async def test_on_a_network_address_a_preflight_needs_no_key_and_a_refusal_can_be_read(make):
    guard = make("0.0.0.0")
    assert (await ask(guard, "/api/chat", "OPTIONS", origin="http://localhost:3000")).status == 204
    refused = await ask(guard, "/api/chat", "POST", origin="http://localhost:3000")
    assert refused.status == 401
    assert refused.headers["access-control-allow-origin"] == "http://localhost:3000"
