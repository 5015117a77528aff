"""``/stream-message``: what is said is stored, what happens is told, and leaving ends it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from hugweb.api.generation import resumed
from inference.errors import OutOfMemory
from inference.protocol import Done, Event, Failed, Generate, Loading, Request, Text, Timings, Usage
from tests.api.rest.conftest import People, people, running
from tests.api.stage import says
from tests.serving import MODEL, eventually

__all__ = ["people", "running"]
PATH = "/stream-message"
DONE = Done(reason="stop", usage=Usage(prompt=3, completion=2), timings=Timings(total=5_000_000))


def events(people: People, body: dict[str, Any], who: str = "ann") -> list[tuple[str, Any]]:
    """What the stream says: the name of each event, and its data."""
    headers = {"Authorization": f"Bearer {people.known[who]}"}
    status, answered, text = people.stage.request("POST", PATH, body, headers)
    assert (status, answered["Content-Type"]) == (200, "text/event-stream; charset=utf-8"), text
    frames = [frame.split("\n") for frame in text.decode().split("\n\n")[:-1]]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in frames]


def test_an_answer_streams_and_is_stored(people: People) -> None:
    people.stage.engine.script = says(Loading(seconds=0), Text(text="Hi "), Text(text="you"), DONE)
    heard = events(people, {"message": "Hello", "model": MODEL, "options": {"temperature": 0}})
    assert heard[0][0] == "started"
    assert heard[-1][0] == "done"
    assert "".join(data["content"] for name, data in heard if name == "message") == "Hi you"
    done = heard[-1][1]
    assert (done["status"], done["provider"], done["model"]) == ("complete", "huggingface", MODEL)
    assert done["metadata"] | {"capabilities": None} == {
        "tokenCount": 2,
        "promptTokenCount": 3,
        "processingTime": 5.0,
        "thinkingTime": 0.0,
        "finishReason": "stop",
        "modelProvider": "huggingface",
        "capabilities": None,
    }
    assert done["metadata"]["capabilities"]["maxContextLength"] == 2048
    stored = people.ask("ann", "GET", f"/rest/messages/{done['message']}/")[1]
    assert (stored["content"], stored["status"]) == ("Hi you", "complete")
    asked = people.stage.engine.requests[-1]
    assert isinstance(asked, Generate)
    assert asked.options.temperature == 0


def test_a_conversation_goes_on_with_what_was_said_and_its_model(people: People) -> None:
    first = events(people, {"message": "one", "model": MODEL})[-1][1]
    events(people, {"message": "two", "conversation": first["conversation"]})
    asked = people.stage.engine.requests[-1]
    assert isinstance(asked, Generate)
    assert [message.content.strip() for message in asked.messages] == ["one", "one", "two"]


def test_an_error_before_the_answer_has_a_status(people: People) -> None:
    for body, status in (
        ({"message": "x", "model": "nobody"}, 404),
        ({"message": "  ", "model": MODEL}, 400),
        ({"model": MODEL}, 400),
        ({"message": "x", "model": MODEL, "options": {"temperature": -1}}, 400),
        ({"message": "x", "conversation": people.known["bob talk"]}, 404),
        ({"message": "x", "model": MODEL, "conversation": people.known["bob talk"]}, 404),
    ):
        found, answer = people.ask("ann", "POST", PATH, body)
        assert found == status, (body, answer)
        assert set(answer["error"]) == {"code", "message", "param"}
    assert people.ask("", "POST", PATH, {"message": "x", "model": MODEL})[0] == 401
    assert people.ask("ann", "GET", PATH)[0] == 405


def test_an_error_in_the_answer_is_an_event_and_what_came_stays(people: People) -> None:
    people.stage.engine.script = says(Text(text="Half"), Failed.of(OutOfMemory("No memory is left.")))
    heard = events(people, {"message": "Hello", "model": MODEL})
    assert heard[-1] == (
        "error",
        {"error": {"code": "out_of_memory", "message": "No memory is left.", "param": None}},
    )
    stored = people.ask("ann", "GET", f"/rest/messages/{heard[0][1]['message']}/")[1]
    assert (stored["content"], stored["status"]) == ("Half", "interrupted")


@pytest.mark.parametrize("first", [Text(text="one "), Loading(seconds=1)])
def test_a_client_that_leaves_ends_the_answer(people: People, first: Event) -> None:
    begun = threading.Event()

    async def script(request: Request) -> AsyncIterator[Event]:
        yield first
        begun.set()
        await asyncio.Event().wait()

    people.stage.engine.script = script
    data = json.dumps({"message": "x", "model": MODEL}).encode()
    address = urlsplit(people.stage.server.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        head = f"POST {PATH} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(data)}\r\n"
        connection.sendall(f"{head}Authorization: Bearer {people.known['ann']}\r\n\r\n".encode() + data)
        assert begun.wait(30)
        received = b""
        while b"event: started" not in received:
            received += (piece := connection.recv(65536))
            assert piece, received
    eventually(lambda: people.stage.engine.closed == 1, lambda: "still being answered")
    stopped = "/rest/messages/?status=stopped"
    eventually(lambda: people.ask("ann", "GET", stopped)[1]["count"], lambda: "not stored")


async def test_an_answer_that_nobody_begins_to_read_ends() -> None:
    """A client may leave after the view has answered, and before the first byte."""
    ended = asyncio.Event()

    async def numbers() -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
        finally:
            ended.set()

    rest = numbers()
    answer = resumed(await anext(rest), rest)
    del rest, answer
    async with asyncio.timeout(30):
        await ended.wait()
