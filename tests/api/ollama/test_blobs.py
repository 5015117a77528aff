"""Files for ``/api/create`` may be large: they are streamed, checked, and nothing of a broken one is kept."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import ollama
import psutil
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.api.stage import Stage
from tests.serving import Server, engine_thread, eventually, fill_home, run_python
from tests.tiny import tiny_tokenizer

MEGABYTE = 2**20
# More than any other request may hold.
LARGE = b"\1\2\3\4\5\6\7\0" * (5 * MEGABYTE)
NETWORK = {"HUGWEB_MAX_BLOB": str(MEGABYTE)}
KEY = """
import django; django.setup()
from django.contrib.auth.models import User
from inference.keys.services import key_create
boss = User.objects.create_superuser("boss")
print(key_create(user=boss, name="k", scopes=["generate", "read", "manage"])[1])
"""


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def kept(server: Server) -> list[str]:
    folder = server.home / "models" / ".blobs"
    return sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []


@pytest.fixture
def blobs(stage: Stage) -> Iterator[str]:
    """The address of blobs; none are there at the beginning."""
    for name in kept(stage.server):
        (stage.server.home / "models" / ".blobs" / name).unlink()
    yield f"{stage.server.url}/api/blobs"


def begin(server: Server, path: str, *headers: str) -> socket.socket:
    """A connection on which a POST has begun."""
    address = urlsplit(server.url)
    connection = socket.create_connection((address.hostname, address.port), timeout=20)
    connection.sendall(
        "\r\n".join([f"POST {path} HTTP/1.1", f"Host: {address.netloc}", *headers, "", ""]).encode()
    )
    return connection


def heard(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_larger_than_any_body_is_taken(stage: Stage, blobs: str, chunked: bool) -> None:
    digest = digest_of(LARGE)
    content = (LARGE[at : at + 100_000] for at in range(0, len(LARGE), 100_000)) if chunked else LARGE
    assert httpx.head(f"{blobs}/{digest}").status_code == 404
    assert httpx.post(f"{blobs}/{digest}", content=content, timeout=30).status_code == 201
    assert httpx.head(f"{blobs}/{digest}").status_code == 200
    assert httpx.post(f"{blobs}/{digest}", content=LARGE, timeout=30).status_code == 200
    assert kept(stage.server) == [digest.removeprefix("sha256:")]


@pytest.mark.parametrize(
    "path",
    ["/api/blobs/sha256:x", "/api/blobs", "/api/blobs/sha256:" + "0" * 64 + "/", "/api/create", "/api/chat"],
)
def test_no_other_request_may_be_as_large(stage: Stage, path: str) -> None:
    with begin(stage.server, path, f"Content-Length: {len(LARGE)}") as connection:
        assert heard(connection).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("sent", [0, 1, 10 * MEGABYTE])
def test_an_upload_that_breaks_off_leaves_nothing(stage: Stage, blobs: str, sent: int) -> None:
    path = urlsplit(blobs).path
    with begin(stage.server, f"{path}/{digest_of(LARGE)}", f"Content-Length: {len(LARGE)}") as connection:
        connection.sendall(LARGE[:sent])
        eventually(lambda: kept(stage.server), lambda: "it was not begun")
    eventually(lambda: not kept(stage.server), lambda: f"{kept(stage.server)} is left")


def test_what_is_not_what_it_says_is_refused_and_the_connection_goes_on(stage: Stage, blobs: str) -> None:
    with httpx.Client() as client:
        answer = client.post(f"{blobs}/{digest_of(b'other')}", content=LARGE, timeout=30)
        assert (answer.status_code, answer.json()["error"][:15]) == (400, "digest mismatch")
        assert kept(stage.server) == []
        assert client.post(f"{blobs}/{digest_of(LARGE)}", content=LARGE, timeout=30).status_code == 201


def test_several_come_at_once_in_little_memory(stage: Stage, blobs: str) -> None:
    """Also the same one twice."""
    files = [bytes([number]) * 40 * MEGABYTE for number in (1, 1, 2, 3)]
    process = psutil.Process(stage.server.process.pid)

    def send(data: bytes) -> int:
        return httpx.post(f"{blobs}/{digest_of(data)}", content=data, timeout=60).status_code

    before = most = process.memory_info().rss
    with ThreadPoolExecutor(4) as threads:
        sending = {threads.submit(send, data) for data in files}
        while sending_still := {one for one in sending if not one.done()}:
            wait(sending_still, timeout=0.02)
            most = max(most, process.memory_info().rss)
    assert {one.result() for one in sending} <= {200, 201}
    assert len(kept(stage.server)) == 3
    assert most - before < 80 * MEGABYTE


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server that other machines can reach, which takes files of one MiB; and a key that may manage."""
    folder = tmp_path_factory.mktemp("network")
    fill_home(folder / "home")
    key = run_python(KEY, folder / "home").strip()
    with (
        engine_thread(folder / "e.sock") as engine,
        Server(folder / "home", engine=engine, env=NETWORK, arguments=("--host", "0.0.0.0")) as server,
    ):
        yield server, key


def test_who_may_not_send_is_told_before_anything_is_kept(network: tuple[Server, str]) -> None:
    server, _ = network
    before = kept(server)
    with begin(server, f"/api/blobs/{digest_of(b'x')}", "Content-Length: 1000000") as connection:
        connection.sendall(b"x" * 100_000)
        answer = heard(connection)
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"\r\nConnection: close" in answer
    assert kept(server) == before


@pytest.mark.parametrize("length", ["Content-Length: 1048577", "Transfer-Encoding: chunked"])
def test_a_file_has_a_limit_of_its_own(network: tuple[Server, str], length: str) -> None:
    server, key = network
    data = b"x" * (MEGABYTE + 1)
    headers = (length, f"Authorization: Bearer {key}")
    with begin(server, f"/api/blobs/{digest_of(data)}", *headers) as connection:
        if "chunked" in length:
            # Not the end: that a file is too large is said as soon as it is.
            connection.sendall(b"%x\r\n%s\r\n" % (len(data), data))
        answer = heard(connection)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"1048576 bytes" in answer
    data = data[:-1]
    assert set(kept(server)) <= {digest_of(data).removeprefix("sha256:")}
    url = f"{server.url}/api/blobs/{digest_of(data)}"
    assert httpx.post(url, content=data, headers={"Authorization": f"Bearer {key}"}).status_code in {200, 201}


def test_a_large_model_is_made_by_ollamas_client(stage: Stage, blobs: str, tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=384, hidden_size=1024, intermediate_size=4096, num_hidden_layers=2, num_attention_heads=8
    )
    LlamaForCausalLM(config).to(torch.float32).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size > 2 * len(LARGE)
    client = ollama.Client(stage.server.url)
    files = {file.name: client.create_blob(file) for file in tmp_path.iterdir()}
    assert client.create("large", files=files).status == "success"
    assert client.show("large").details.parameter_size
    client.delete("large")
    client.delete("local/large")
