import asyncio
import json

import pytest

from hugweb.drain import Drain


class Call:
    """One request through a drain, to an application that answers when it is let."""

    def __init__(self, drain, path="/api/chat", start=None):
        self.sent = []
        self.go = asyncio.Event()
        self._start = start
        self.task = asyncio.create_task(drain.wrap(self._app)(self._scope(path), self._receive, self._send))

    @staticmethod
    def _scope(path):
        return {"type": "http", "path": path}

    async def _app(self, scope, receive, send):
        if self._start:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": self._start, "more_body": True})
        await self.go.wait()
        if not self._start:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"end"})

    async def _receive(self):
        return {"type": "http.request"}

    async def _send(self, message):
        self.sent.append(message)

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.sent)


class Work:
    draining = False
    closed = False
    count = 0

    def running(self):
        return self.count

    async def close(self):
        self.closed = True
        self.count = 0


async def is_idle(drain):
    """Whether nothing more is to come, once whatever can go on has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)
    idle = asyncio.create_task(drain.idle())
    await asyncio.sleep(0)
    idle.cancel()
    return idle.done()


async def test_a_request_is_in_flight_until_its_last_byte():
    drain = Drain()
    assert await is_idle(drain)
    call = Call(drain, start=b"begun ")
    assert not await is_idle(drain)
    call.go.set()
    assert await is_idle(drain)
    assert call.body == b"begun end"


async def test_a_request_that_fails_or_is_cancelled_is_not_in_flight():
    drain = Drain()

    async def fails(scope, receive, send):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await drain.wrap(fails)({"type": "http", "path": "/"}, None, None)
    call = Call(drain)
    await asyncio.sleep(0)
    call.task.cancel()
    assert await is_idle(drain)


async def test_draining_takes_nothing_new_on_the_api_and_lets_the_rest_pass():
    drain = Drain()
    running = Call(drain, start=b"begun ")
    await asyncio.sleep(0)
    drain.begin()
    refused = Call(drain)
    await refused.task
    assert refused.sent[0]["status"] == 503
    assert (b"retry-after", b"2") in refused.sent[0]["headers"]
    assert "shutting down" in json.loads(refused.body)["error"]
    for path in ("/health/ready", "/chat/", "/login/"):
        page = Call(drain, path=path)
        page.go.set()
        await page.task
        assert page.sent[0]["status"] == 200
    running.go.set()
    await running.task
    assert running.body == b"begun end"


async def test_websockets_pass():
    drain = Drain()
    drain.begin()
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope["type"])

    await drain.wrap(app)({"type": "websocket", "path": "/ws/chat/"}, None, None)
    assert scopes == ["websocket"]


@pytest.mark.parametrize(
    ("path", "frame"),
    [
        ("/api/chat", b'begun {"error":"The server is shutting down. Please try again later."}\n'),
        ("/v1/chat/completions", b'begun data: {"error":{"message":"The server is shutting down.'),
        ("/v1/messages", b'begun event: error\ndata: {"type":"error"'),
    ],
)
async def test_a_stream_that_is_cut_ends_with_an_error_in_its_shape(path, frame):
    drain = Drain()
    call = Call(drain, path=path, start=b"begun ")
    await asyncio.sleep(0)
    await drain.cut()
    assert call.body.startswith(frame)
    assert not call.sent[-1].get("more_body")
    call.go.set()
    await call.task
    assert not call.body.endswith(b"end")


async def test_a_file_that_has_begun_breaks_off_rather_than_to_look_whole():
    drain = Drain()
    call = Call(drain, path="/export/", start=b"begun ")
    await asyncio.sleep(0)
    await drain.cut()
    assert call.sent[-1] == {"type": "http.response.body", "body": b"begun ", "more_body": True}
    call.task.cancel()


async def test_an_answer_that_has_not_begun_is_cut_with_a_status():
    drain = Drain()
    call = Call(drain)
    await asyncio.sleep(0)
    await drain.cut()
    assert call.sent[0]["status"] == 503
    assert "error" in json.loads(call.body)


async def test_a_client_that_does_not_read_keeps_nobody_from_being_told():
    class Deaf(Call):
        reads = asyncio.Event()

        async def _send(self, message):
            await super()._send(message)
            await self.reads.wait()

    drain, work = Drain(), Work()
    drain.watch(work)
    deaf, other = Deaf(drain), Call(drain)
    await asyncio.sleep(0)
    cutting = asyncio.create_task(drain.cut())
    for _ in range(5):
        await asyncio.sleep(0)
    assert work.closed
    assert [call.sent[0]["status"] for call in (deaf, other)] == [503, 503]
    deaf.reads.set()
    await cutting


async def test_other_work_is_counted_told_and_closed():
    drain, work = Drain(), Work()
    drain.watch(work)
    work.count = 1
    assert not await is_idle(drain)
    drain.begin()
    assert work.draining
    await drain.cut()
    assert work.closed
    assert await is_idle(drain)
