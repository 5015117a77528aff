"""How a server stops: what may finish, what is cut and how, and that it always ends with exit code 0."""

import asyncio
import contextlib
import json
import signal
import sqlite3

import httpx
import pytest
import websockets

from tests.fakes import FakeEngine, gated
from tests.serving import MODEL, Server, engine_thread, page


async def stream(client, url, lines, said="hi"):
    """The lines of an answer, into ``lines`` as they come."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": said}]}
    async with client.stream("POST", f"{url}/api/chat", json=body, timeout=30) as answer:
        async for line in answer.aiter_lines():
            lines.append(json.loads(line))


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def until_closed(socket):
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            yield await socket.recv()


async def test_a_stop_lets_running_answers_finish_and_takes_no_new_ones(tmp_path):
    script, release = gated(["one ", "two "])
    async with (
        FakeEngine(tmp_path / "engine.sock", script) as engine,
        Server(tmp_path / "home", engine=engine) as server,
        httpx.AsyncClient() as client,
    ):
        lines = []
        answer = asyncio.create_task(stream(client, server.url, lines))
        await until(lambda: engine.requests)
        await release()
        await until(lambda: lines)
        server.process.send_signal(signal.SIGTERM)
        while (await client.get(f"{server.url}/health/ready")).status_code == 200:
            await asyncio.sleep(0.01)
        refused = await client.post(f"{server.url}/api/chat", json={"model": MODEL})
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert "shutting down" in refused.json()["error"]
        assert (await client.get(f"{server.url}/health/live")).status_code == 200
        assert (await client.get(f"{server.url}/static/admin/css/base.css")).status_code == 200
        await release()
        await release()
        await answer
        assert lines[-1]["done"] is True
        assert "".join(line["message"]["content"] for line in lines) == "one two "
        assert await asyncio.to_thread(server.stop) == 0


async def test_an_answer_that_does_not_finish_in_time_ends_with_an_error(tmp_path):
    script, release = gated(["one "])
    async with (
        FakeEngine(tmp_path / "engine.sock", script) as engine,
        Server(tmp_path / "home", engine=engine, env={"HUGWEB_DRAIN_TIMEOUT_MS": "300"}) as server,
        httpx.AsyncClient() as client,
    ):
        lines = []
        answer = asyncio.create_task(stream(client, server.url, lines))
        await until(lambda: engine.requests)
        await release()
        await until(lambda: lines)
        assert await asyncio.to_thread(server.stop, signal.SIGINT) == 0
        await answer
        assert "shutting down" in lines[-1]["error"]
        assert not any(line.get("done") for line in lines)
        assert engine.closed == 1


@pytest.mark.parametrize(("seconds", "status"), [("30000", "complete"), ("300", "interrupted")])
async def test_a_turn_of_the_chat_may_finish_too_and_its_socket_is_told(tmp_path, seconds, status):
    script, release = gated(["one ", "two "])
    async with (
        FakeEngine(tmp_path / "engine.sock", script) as engine,
        Server(tmp_path / "home", engine=engine, env={"HUGWEB_DRAIN_TIMEOUT_MS": seconds}) as server,
        page(server, await logged_in(server)) as socket,
    ):
        ask = json.dumps({"type": "send", "text": "hi", "model": MODEL})
        await socket.send(ask)
        await until(lambda: engine.requests)
        await release()
        server.process.send_signal(signal.SIGTERM)
        await until(lambda: "Stopping" in server.output())
        if status == "complete":
            await socket.send(ask)
            for _ in range(2):
                await release()
        said = [json.loads(message) async for message in until_closed(socket)]
        refused = ["draining"] if status == "complete" else []
        assert [message["code"] for message in said if message["type"] == "error"] == refused
        assert [message["status"] for message in said if message["type"] == "ended"] == [status]
        assert socket.close_code == 1001
        assert await asyncio.to_thread(server.stop) == 0
        assert len(engine.requests) == 1


async def logged_in(server):
    """The cookies of the server's owner."""
    async with httpx.AsyncClient() as owner:
        await owner.get(server.login_address)
        return "; ".join(f"{name}={value}" for name, value in owner.cookies.items())


async def test_a_second_signal_does_not_wait_for_answers(tmp_path):
    script, _ = gated(["one "])
    async with (
        FakeEngine(tmp_path / "engine.sock", script) as engine,
        Server(tmp_path / "home", engine=engine) as server,
        httpx.AsyncClient() as client,
    ):
        answer = asyncio.create_task(
            client.post(
                f"{server.url}/api/chat",
                json={"model": MODEL, "messages": [{"role": "user", "content": "x"}]},
            )
        )
        await until(lambda: engine.requests)
        server.process.send_signal(signal.SIGTERM)
        while (await client.get(f"{server.url}/health/ready")).status_code == 200:
            await asyncio.sleep(0.01)
        assert await asyncio.to_thread(server.stop, signal.SIGTERM) == 0
        assert (await answer).status_code == 503


def test_a_view_that_waits_in_its_thread_does_not_hold_the_exit(tmp_path):
    with (
        engine_thread(tmp_path / "engine.sock") as engine,
        Server(tmp_path / "home", engine=engine, env={"HUGWEB_DRAIN_TIMEOUT_MS": "100"}) as server,
        contextlib.closing(sqlite3.connect(server.home / "db.sqlite3")) as database,
    ):
        database.execute("BEGIN IMMEDIATE")
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(server.login_address, timeout=0.5)
        # The view waits for the database for 20 s.
        assert server.stop(seconds=15.0) == 0
