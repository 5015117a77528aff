"""Everything at once: a real server, its own engine, a tiny model, and the real client.

Case numbers are those of the list of what Ollama's clients need.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import ollama
import psutil
import pytest

from tests.serving import PROJECT, Server, environment, eventually, fill_home, status_of

MODEL = "tiny/llama"
HELLO = [{"role": "user", "content": "Hello!"}]
GREEDY = {"temperature": 0, "num_predict": 24}
ENDLESS = {"temperature": 0, "num_predict": 4000}


def hugweb(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """A home with the tiny model, taken in by the real command."""
    home = tmp_path_factory.mktemp("live") / "home"
    pulled = hugweb(home, "pull", str(tiny_llama), "--name", MODEL)
    assert pulled.returncode == 0, pulled.stderr
    assert pulled.stdout.splitlines()[-1] == MODEL
    return home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    with Server(home) as server:
        yield server


@pytest.fixture
def client(server: Server) -> ollama.Client:
    eventually(lambda: status_of(server.url + "/health/ready") == 200, server.output)
    return ollama.Client(server.url)


def engine_pid(server: Server) -> int:
    """The server's only child."""
    (child,) = eventually(psutil.Process(server.process.pid).children, server.output)
    return child.pid


def test_an_answer_has_all_its_numbers(client: ollama.Client) -> None:
    """2, 16"""
    answer = client.generate(MODEL, "hi", options=GREEDY)
    assert answer.done is True
    assert answer.done_reason == "length"
    assert answer.response
    assert answer.eval_count == 24
    counts = (answer.prompt_eval_count, answer.eval_count)
    durations = (answer.prompt_eval_duration, answer.eval_duration, answer.load_duration)
    assert all(isinstance(metric, int) and metric > 0 for metric in (*counts, *durations))
    assert (answer.total_duration or 0) >= max(duration or 0 for duration in durations)
    assert len(answer.context or ()) == (answer.prompt_eval_count or 0) + 24


def test_streamed_and_whole_are_the_same(client: ollama.Client) -> None:
    """3"""
    whole = client.chat(MODEL, HELLO, options=GREEDY)
    frames = list(client.chat(MODEL, HELLO, options=GREEDY, stream=True))
    assert "".join(frame.message.content or "" for frame in frames) == whole.message.content
    generated = client.generate(MODEL, "hi", options=GREEDY)
    pieces = list(client.generate(MODEL, "hi", options=GREEDY, stream=True))
    assert "".join(piece.response for piece in pieces) == generated.response
    assert pieces[-1].context == generated.context
    for stream in (frames, pieces):
        assert [frame.done for frame in stream] == [False] * (len(stream) - 1) + [True]
        assert all(isinstance(frame.created_at, str) for frame in stream)


def test_loading_listing_and_unloading(client: ollama.Client) -> None:
    """4, 5, 6, 7"""
    loaded = client.generate(MODEL)
    assert (loaded.done_reason, loaded.response) == ("load", "")
    stays = [(ps(client).expires_at.timestamp() - time.time()) for _ in range(1)]
    assert stays[0] == pytest.approx(300, abs=20)
    for keep_alive, seconds in (("90s", 90), ("1h30m", 5400), (-1, 9e9)):
        client.generate(MODEL, keep_alive=keep_alive)
        left = ps(client).expires_at.timestamp() - time.time()
        assert left == pytest.approx(seconds, abs=20) or (seconds > 1e9 and left > 100 * 365 * 86400)
    unloaded = client.generate(MODEL, keep_alive=0)
    assert (unloaded.done_reason, unloaded.response, unloaded.done) == ("unload", "", True)
    assert client.ps().models == []
    assert client.chat(MODEL, []).done_reason == "load"
    left = client.chat(MODEL, keep_alive=0)
    assert (left.done_reason, left.message.role, left.message.content) == ("unload", "assistant", "")
    assert client.ps().models == []


def ps(client: ollama.Client) -> ollama.ProcessResponse.Model:
    (model,) = client.ps().models
    assert model.model == f"{MODEL}:latest"
    assert model.expires_at is not None
    return model


def test_tags(client: ollama.Client) -> None:
    """32"""
    (model,) = client.list().models
    assert model.model == f"{MODEL}:latest"
    assert len(model.digest or "") == 64
    assert (model.size or 0) > 100_000
    assert model.details is not None
    assert (model.details.family, model.details.quantization_level) == ("llama", "F32")


def test_errors_reach_the_client(client: ollama.Client) -> None:
    """8, 9, 10, 19, 23, 26"""
    cases: list[tuple[int, str, dict[str, object]]] = [
        (404, "model 'nope' not found", {"model": "nope"}),
        (400, 'time: missing unit in duration "10"', {"keep_alive": "10"}),
        (400, 'option "temperature" must be of type float32', {"options": {"temperature": "hot"}}),
        (400, f'"{MODEL}" does not support thinking', {"think": True}),
    ]
    for status, text, arguments in cases:
        for stream in (False, True):
            for ask, given in ((client.chat, {"messages": HELLO}), (client.generate, {"prompt": "x"})):
                with pytest.raises(ollama.ResponseError) as error:
                    answer = ask(**{"model": MODEL, "stream": stream, **given, **arguments})  # type: ignore[operator]
                    next(iter(answer))
                assert (error.value.status_code, error.value.error) == (status, text)
    ignored = {**GREEDY, "foo": 1, "mirostat": 2}
    answers = [client.generate(MODEL, "hi", options=options).response for options in (ignored, GREEDY)]
    assert answers[0] == answers[1]
    with pytest.raises(ollama.ResponseError, match="does not support tools"):
        client.chat(MODEL, HELLO, tools=[{"type": "function", "function": {"name": "f"}}])
    assert client.chat(MODEL, HELLO, tools=None, think=False, options=GREEDY).done


def test_stop_strings(client: ollama.Client) -> None:
    """17"""
    whole = client.generate(MODEL, "hi", options=GREEDY).response
    stop = whole[4:7]
    cut = client.generate(MODEL, "hi", options={**GREEDY, "stop": [stop]})
    assert cut.response == whole[: whole.index(stop)]
    assert cut.done_reason == "stop"


def test_seeds(client: ollama.Client) -> None:
    """18"""
    texts = [
        client.generate(MODEL, "hi", options={"seed": seed, "temperature": 1.2, "num_predict": 20}).response
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_raw_and_context(client: ollama.Client) -> None:
    """38"""
    assert client.generate(MODEL, "hi", raw=True, options=GREEDY).context is None
    first = client.generate(MODEL, "hi", options=GREEDY)
    second = client.generate(MODEL, "more", context=first.context, options=GREEDY)
    assert (second.prompt_eval_count or 0) > len(first.context or ())


def test_parallel_requests_say_what_they_say_alone(client: ollama.Client) -> None:
    """42"""
    prompts = [f"{word} " * length for word, length in (("fox", 3), ("dog", 60), ("box", 400), ("I", 1))]
    alone = [client.generate(MODEL, prompt, options=GREEDY).response for prompt in prompts]
    together = [""] * len(prompts)

    def run(index: int) -> None:
        together[index] = client.generate(MODEL, prompts[index], options=GREEDY).response

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert together == alone


def test_a_client_that_leaves_frees_the_engine(client: ollama.Client) -> None:
    """40: an answer of 30,000 tokens is left after two; the model is idle long before its end."""
    stream = client.chat(MODEL, HELLO, options={**ENDLESS, "num_predict": 30_000}, stream=True, keep_alive=0)
    next(stream)
    next(stream)
    assert len(client.ps().models) == 1
    stream.close()
    eventually(lambda: client.ps().models == [], lambda: "still loaded", seconds=10)


LONG_CHAT = {"model": MODEL, "messages": HELLO, "max_tokens": 4000, "temperature": 0, "options": ENDLESS}
LONG_TEXT = {"model": MODEL, "prompt": "Hello!", "max_tokens": 4000, "temperature": 0, "options": ENDLESS}
LONG: dict[str, dict[str, Any]] = {
    "/api/chat": LONG_CHAT,
    "/api/generate": LONG_TEXT,
    "/v1/chat/completions": LONG_CHAT,
    "/v1/completions": LONG_TEXT,
    "/v1/messages": LONG_CHAT,
    "/v1/responses": {"model": MODEL, "input": "Hello!", "max_output_tokens": 4000, "options": ENDLESS},
    "/stream-message": {"model": MODEL, "message": "Hello!", "options": ENDLESS},
}


@pytest.fixture(scope="module")
def owner(server: Server) -> Iterator[httpx.Client]:
    """Who owns the server, logged in."""
    with httpx.Client(base_url=server.url, headers={"Origin": server.url}) as client:
        client.get(server.login_address)
        yield client


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", LONG)
def test_a_client_that_leaves_frees_its_slot_in_every_dialect(
    server: Server, owner: httpx.Client, path: str, stream: bool
) -> None:
    """It is cancelled, which one that was answered to its end would not be."""
    before, address = cancelled(owner), urlsplit(server.url)
    data = json.dumps({**LONG[path], "stream": stream}).encode()
    cookies = "; ".join(f"{name}={value}" for name, value in owner.cookies.items())
    lines = (f"POST {path} HTTP/1.1", f"Host: {address.netloc}", f"Cookie: {cookies}")
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall("\r\n".join([*lines, f"Content-Length: {len(data)}", "", ""]).encode() + data)
        eventually(lambda: active(owner) == 1, server.output)
    eventually(lambda: active(owner) == 0, server.output)
    eventually(lambda: cancelled(owner) == before + 1, server.output)


def active(owner: httpx.Client) -> int:
    """Requests that the engine works for."""
    loaded = owner.get("/rest/providers/huggingface/").json()["loaded"]
    return sum(model["active"] for model in loaded)


def cancelled(owner: httpx.Client) -> int:
    """Answers that nobody waited for to their end."""
    figures = owner.get("/metrics").text
    found = re.findall(r'^hugweb_answers_total\{.*outcome="cancelled"\} ([0-9.]+)$', figures, re.MULTILINE)
    return round(sum(map(float, found)))


def test_what_the_engine_logs_for_a_request_names_it(server: Server, client: ollama.Client) -> None:
    client.generate(MODEL, keep_alive=0)
    eventually(lambda: client.ps().models == [], lambda: "still loaded")
    found = {"X-Request-Id": "find-me"}
    httpx.post(f"{server.url}/api/generate", json={"model": MODEL}, headers=found, timeout=60)
    logged = re.compile(rf"\[find-me\] inference.engine\S+: Loading {MODEL}")
    eventually(lambda: logged.search(server.output()), server.output)


def test_a_killed_engine_is_one_clear_error_and_the_next_request_works(
    server: Server, client: ollama.Client
) -> None:
    """48"""
    before = client.chat(MODEL, HELLO, options=GREEDY).message.content
    pid = engine_pid(server)
    lines = []
    body = {"model": MODEL, "messages": HELLO, "options": ENDLESS}
    with httpx.stream("POST", f"{server.url}/api/chat", json=body, timeout=30) as response:
        for line in response.iter_lines():
            lines.append(json.loads(line))
            if len(lines) == 5:
                os.kill(pid, signal.SIGKILL)
                killed = time.monotonic()
    # Far less than the silence after which an engine counts as stuck; the machine may be busy.
    assert time.monotonic() - killed < 30
    assert [set(line) for line in lines].count({"error"}) == 1
    assert "restarted" in lines[-1]["error"]
    assert client.chat(MODEL, HELLO, options=GREEDY).message.content == before
    assert engine_pid(server) != pid
    assert server.process.poll() is None


def test_chat_in_the_terminal_through_the_server(server: Server, home: Path, client: ollama.Client) -> None:
    expected = client.chat(MODEL, HELLO, options=GREEDY).message.content
    said = hugweb(home, "chat", MODEL, "Hello!", "--temperature", "0", "--max-new-tokens", "24")
    assert said.returncode == 0
    assert printable(said.stdout) == printable(expected or "")


def printable(text: str) -> str:
    """What a terminal shows of it: control characters of a model never reach one."""
    return "".join(letter for letter in text if letter.isprintable())


def test_chat_of_an_unknown_model_is_one_line(home: Path) -> None:
    said = hugweb(home, "chat", "nope", "Hello!")
    assert said.returncode == 1
    assert said.stdout == ""
    assert len(said.stderr.strip().splitlines()) == 1
    assert "model 'nope' not found" in said.stderr


def test_stopping_leaves_nothing_behind(home: Path, tmp_path: Path) -> None:
    """SIGTERM in the middle of an answer that is over soon: it is finished, then all is gone."""
    with Server(shutil.copytree(home, tmp_path / "home", ignore=shutil.ignore_patterns("run"))) as server:
        pid = engine_pid(server)
        body = {"model": MODEL, "messages": HELLO, "options": {**GREEDY, "num_predict": 60}}
        with httpx.stream("POST", f"{server.url}/api/chat", json=body, timeout=30) as response:
            lines = response.iter_lines()
            next(lines)
            server.process.send_signal(signal.SIGTERM)
            assert json.loads(list(lines)[-1])["done"] is True
        assert server.stop() == 0
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            raise AssertionError("the engine is still there")


def test_the_bench_measures_a_server_of_its_own(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "bench", MODEL, "--json", "--tokens", "4", "--runs", "1"],
        cwd=PROJECT,
        env=environment(home, {}),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert rows[0]["who"] == "model.generate"
    assert {"vllm serve", "llama-server"} <= {
        row["who"] for row in rows if row["what"] == "not installed here"
    }
    ours = {row["what"]: row for row in rows if row["who"].startswith("HugWeb")}
    assert ours["one stream"]["ratio"] > 0
    assert ours["16 streams, prompts included"]["value"] > 0
    assert ours["memory, nothing loaded"]["value"] < ours["memory, loaded"]["value"]


def test_the_bench_of_a_model_that_is_not_here(tmp_path: Path) -> None:
    fill_home(tmp_path / "home")
    done = hugweb(tmp_path / "home", "bench", "test/other")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == ["CommandError: model 'test/other' not found"]


COLOUR = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "blue"]}, "sure": {"type": "boolean"}},
    "required": ["colour", "sure"],
    "additionalProperties": False,
}


def test_a_format_is_kept(client: ollama.Client) -> None:
    """20: even by a model that says nothing but noise."""
    for seed in range(3):
        options = {"temperature": 1.5, "seed": seed, "num_predict": 300}
        for answer in (
            client.generate(MODEL, "hi", format=COLOUR, options=options).response,
            client.chat(MODEL, HELLO, format=COLOUR, options=options).message.content or "",
        ):
            said = json.loads(answer)
            assert set(said) == {"colour", "sure"}
            assert said["colour"] in COLOUR["properties"]["colour"]["enum"]  # type: ignore[index]


def test_json_is_kept(client: ollama.Client) -> None:
    """20: where it comes to its end; a model of noise may not."""
    answers = [
        client.generate(
            MODEL, "hi", format="json", options={"temperature": 1, "seed": seed, "num_predict": 400}
        )
        for seed in range(6)
    ]
    ended = [answer.response for answer in answers if answer.done_reason == "stop"]
    assert ended
    assert all(isinstance(json.loads(text), dict) for text in ended)


@pytest.mark.parametrize(
    "wrong", ["xml", ["json"], 7, {"type": "banana"}, {"type": "object", "properties": 1}]
)
def test_a_wrong_format_is_said(server: Server, wrong: object) -> None:
    body = {"model": MODEL, "messages": HELLO, "format": wrong}
    answer = httpx.post(f"{server.url}/api/chat", json=body, timeout=30)
    assert answer.status_code == 400
    assert "format" in answer.json()["error"]
