"""``/api/pull`` and ``/api/delete`` as Ollama's own client and curl drive them, against a stub Hub."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ollama
import pytest

from tests.clients.test_ollama_go import CommandLine
from tests.inference.store.builders import partial_size, rows
from tests.inference.store.stub_hub import Repo, StubHub, grown, sha256
from tests.serving import MODEL, Server, engine_thread, eventually, manage

WEIGHTS = "model.safetensors"
UNKNOWN = "pull model manifest: file does not exist"


@pytest.fixture(scope="module")
def server(hub: StubHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("serve")
    env = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HUB_OFFLINE": "0",
        "RETRY_DELAY_MS": "20",
        "HF_HUB_DOWNLOAD_TIMEOUT": "60",
    }
    with (
        engine_thread(folder / "engine.sock") as engine,
        Server(folder / "home", engine=engine, env=env) as server,
    ):
        yield server


@pytest.fixture
def client(server: Server, hub: StubHub) -> ollama.Client:
    hub.fetched.clear()
    hub.ranges.clear()
    hub.gate = None
    return ollama.Client(server.url, timeout=60)


@pytest.fixture
def name(request: pytest.FixtureRequest, hub: StubHub, repo: Repo) -> str:
    """A model of this test's own on the Hub; its weights differ from the others'."""
    name = f"org/{request.node.name.replace('_', '-')[:60]}"
    hub.repos[name] = grown(repo, 2**20 + len(hub.repos))
    return name


def ask(server: Server, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    request = urllib.request.Request(server.url + path, data=body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def models(client: ollama.Client) -> set[str | None]:
    return {model.model for model in client.list().models}


def half_way(server: Server) -> None:
    eventually(lambda: partial_size(server.home) >= 2**19, server.output)


def test_a_pull_streams_ollamas_frames(client: ollama.Client, hub: StubHub, name: str) -> None:
    """35"""
    frames = [frame.model_dump(exclude_none=True) for frame in client.pull(name, stream=True)]
    statuses = [frame["status"] for frame in frames]
    digest = sha256(hub.repos[name].files[WEIGHTS])
    assert statuses[0] == "pulling manifest"
    assert statuses[-3:] == ["verifying sha256 digest", "writing manifest", "success"]
    assert set(statuses[1:-3]) == {f"pulling {digest[:12]}"}
    layers = frames[1:-3]
    size = len(hub.repos[name].files[WEIGHTS])
    assert {(layer["digest"], layer["total"]) for layer in layers} == {(f"sha256:{digest}", size)}
    completed = [layer["completed"] for layer in layers]
    assert completed == sorted(completed)
    assert completed[-1] == size
    assert f"{name}:latest" in models(client)


def test_a_model_that_is_here_comes_again_without_a_download(
    client: ollama.Client, hub: StubHub, name: str
) -> None:
    client.pull(name)
    hub.fetched.clear()
    frames = list(client.pull(f"hf.co/{name}:latest", stream=True))
    assert [frame.completed for frame in frames if frame.digest] == [len(hub.repos[name].files[WEIGHTS])]
    assert frames[-1].status == "success"
    assert hub.fetched == []


def test_ollamas_command_pulls_what_it_is_to_run(server: Server, name: str) -> None:
    command = CommandLine(server.url)
    assert "".join(answer.response for answer in command.run(name, "one two")) == "one two "
    frames = command.pull(name)
    assert (frames[0].status, frames[-1].status) == ("pulling manifest", "success")
    assert command.show(name).details.family == "llama"


def test_without_streaming_the_last_frame_is_the_answer(client: ollama.Client, name: str) -> None:
    assert client.pull(name, insecure=True).model_dump(exclude_none=True) == {"status": "success"}


def test_an_unknown_model_is_told_in_ollamas_words(server: Server, client: ollama.Client) -> None:
    for unknown in ("org/nowhere", "llama3"):
        status, body = ask(server, "POST", "/api/pull", json.dumps({"name": unknown}).encode())
        first, last = map(json.loads, body.splitlines())
        assert (status, first, last) == (200, {"status": "pulling manifest"}, {"error": UNKNOWN})
        with pytest.raises(ollama.ResponseError, match=UNKNOWN) as caught:
            client.pull(unknown)
        assert caught.value.status_code == 404
        with pytest.raises(ollama.ResponseError, match=f"^{UNKNOWN}") as caught:
            list(client.pull(unknown, stream=True))
        assert caught.value.status_code == -1


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{}", "invalid model name"),
        (b'{"model": "../x"}', "invalid model name"),
        (b"", "missing request body"),
        (b'{"model": "a/b", "stream": "yes"}', "invalid request: "),
    ],
)
def test_a_request_that_is_none_is_refused(server: Server, body: bytes, error: str) -> None:
    status, answer = ask(server, "POST", "/api/pull", body)
    assert status == 400
    assert json.loads(answer)["error"].startswith(error)


def test_a_gated_model_says_what_to_do(
    server: Server, client: ollama.Client, hub: StubHub, name: str
) -> None:
    hub.repos[name].gated = True
    with pytest.raises(ollama.ResponseError, match="Accept its terms") as caught:
        client.pull(name)
    assert caught.value.status_code == 403
    with pytest.raises(ollama.ResponseError, match="Accept its terms"):
        list(client.pull(name, stream=True))


def test_two_clients_share_one_download_and_one_may_leave(
    server: Server, client: ollama.Client, hub: StubHub, name: str
) -> None:
    hub.gate = threading.Event()
    leaving = client.pull(name, stream=True)
    assert next(leaving).status == "pulling manifest"
    half_way(server)
    frames: list[Any] = []
    staying = threading.Thread(target=lambda: frames.extend(client.pull(name, stream=True)))
    staying.start()
    with contextlib.closing(client.pull(name, stream=True)) as third:
        shown = next(frame for frame in third if frame.completed)
    assert shown.completed and shown.total and 0 < shown.completed < shown.total, "it joined in half-way"
    leaving.close()
    hub.gate.set()
    staying.join(60)
    assert frames[-1].status == "success"
    assert hub.fetched.count(WEIGHTS) == 1


def test_when_the_last_client_leaves_the_download_stops_and_goes_on_later(
    server: Server, client: ollama.Client, hub: StubHub, name: str
) -> None:
    hub.gate = threading.Event()
    leaving = client.pull(name, stream=True)
    next(leaving)
    half_way(server)
    leaving.close()
    (lock,) = (server.home / "pulls").glob(f"{name.replace('/', '--')[:50].lower()}*.lock")
    eventually(lambda: not is_locked(lock) or None, server.output)
    hub.gate.set()
    assert client.pull(name).status == "success"
    assert min(hub.went_on) >= 0.4 * len(hub.repos[name].files[WEIGHTS])


def test_a_client_joins_in_where_a_command_pulls(
    server: Server, client: ollama.Client, hub: StubHub, name: str
) -> None:
    hub.gate = threading.Event()
    env = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0"}
    command = manage("pull", name, home=server.home, env=env)
    half_way(server)
    frames = client.pull(name, stream=True)
    # What the command tells may be a moment behind what it has.
    shown = next(frame for frame in frames if frame.completed)
    assert shown.completed and shown.total and 0 < shown.completed < shown.total
    hub.gate.set()
    assert list(frames)[-1].status == "success"
    assert command.wait(60) == 0
    assert hub.fetched.count(WEIGHTS) == 1


def test_a_server_that_stops_ends_the_pull_and_the_next_one_goes_on(
    hub: StubHub, name: str, tmp_path: Path
) -> None:
    hub.ranges.clear()
    hub.gate = threading.Event()
    env = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0"}
    with (
        engine_thread(tmp_path / "engine.sock") as engine,
        Server(tmp_path / "home", engine=engine, env=env) as server,
    ):
        frames = ollama.Client(server.url, timeout=60).pull(name, stream=True)
        next(frames)
        half_way(server)
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ollama.ResponseError, match="shutting down"):
            list(frames)
        assert server.process.wait(30) == 0
        hub.gate.set()
    command = manage("pull", name, home=server.home, env=env)
    assert command.wait(60) == 0
    assert min(hub.went_on) >= 0.4 * len(hub.repos[name].files[WEIGHTS])


def is_locked(path: Path) -> bool:
    import fcntl

    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_deleted_model_is_gone(server: Server, client: ollama.Client, name: str) -> None:
    client.pull(name)
    (row,) = [row for row in rows(server.home, "model_metadata") if row["name"] == name]
    assert client.delete(f"{name}:latest").status == "success"
    assert f"{name}:latest" not in models(client)
    assert not Path(row["folder"]).exists()
    with pytest.raises(ollama.ResponseError, match=f"model '{name}' not found") as caught:
        client.delete(name)
    assert caught.value.status_code == 404


def test_a_model_that_answers_was_used(server: Server, client: ollama.Client) -> None:
    def used() -> object:
        return next(row for row in rows(server.home, "model_metadata") if row["name"] == MODEL)["last_used"]

    assert used() is None
    client.generate(MODEL, keep_alive=0)
    assert used() is None, "to unload a model is no use"
    client.chat(MODEL, [{"role": "user", "content": "Hello"}])
    assert used()


def test_deleting_an_alias_leaves_its_model_and_an_alias_holds_its_model(server: Server, client) -> None:
    from tests.serving import run_python

    run_python(
        "import django; django.setup()\n"
        "from aliases.models import Alias\n"
        f"Alias.objects.create(name='held', model={MODEL!r})",
        server.home,
    )
    with pytest.raises(ollama.ResponseError, match="is what held stands for") as caught:
        client.delete(MODEL)
    assert caught.value.status_code == 409
    client.delete("held")
    assert f"{MODEL}:latest" in models(client)


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"{}", 400, "model is required"),
        (b'{"name": "a b"}', 400, 'name "a b" is invalid'),
        (b'{"name": "nope"}', 404, "model 'nope' not found"),
    ],
)
def test_a_delete_that_cannot_be_is_refused(server: Server, body: bytes, status: int, error: str) -> None:
    told = json.dumps({"error": error}, separators=(",", ":")).encode()
    assert ask(server, "DELETE", "/api/delete", body) == (status, told)


def test_what_an_alias_is_made_from_is_pulled(client: ollama.Client, name: str) -> None:
    frames = [frame.status for frame in client.create("made", from_=name, system="Be brief.", stream=True)]
    assert frames[0] == "pulling manifest"
    assert [frame for frame in frames if frame == "success"] == ["success"]
    assert frames[-1] == "success"
    assert {"made:latest", f"{name}:latest"} <= models(client)
    with pytest.raises(ollama.ResponseError, match="model 'nope' not found"):
        client.create("made", from_="nope")
