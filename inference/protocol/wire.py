"""How requests and events are framed.

A frame is a 4-byte big-endian length and that many bytes of MessagePack, a tagged ``msgspec``
struct: typed and checked on both sides, and never able to run code.
"""

from __future__ import annotations

import asyncio

from msgspec import DecodeError, msgpack

from inference.errors import EngineDied, InvalidRequest, TooLarge
from inference.protocol.events import Event
from inference.protocol.limits import MAX_FRAME
from inference.protocol.requests import Request, Ticket

LENGTH_BYTES = 4

REQUESTS = msgpack.Decoder(Ticket | Request)
EVENTS = msgpack.Decoder(Event)
_encoder = msgpack.Encoder()


def frame(message: Ticket | Request | Event) -> bytes:
    """``message`` as it goes over the wire. ``InvalidRequest`` for numbers of more than 64 bits, and for what
    is nested too deeply."""
    try:
        body = _encoder.encode(message)
    except OverflowError as error:
        raise InvalidRequest("A number in the request is too large.") from error
    except RecursionError as error:
        raise InvalidRequest("The request is nested too deeply.") from error
    if len(body) > MAX_FRAME:
        what = "answer" if isinstance(message, Event) else "request"
        raise TooLarge(f"The {what} is {len(body)} bytes long; at most {MAX_FRAME} are taken.")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The next frame's body. ``EngineDied`` when the other side has gone away."""
    try:
        length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
        if length > MAX_FRAME:
            raise TooLarge(f"A frame of {length} bytes was announced; at most {MAX_FRAME} are taken.")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise EngineDied from error


async def read_request(reader: asyncio.StreamReader) -> Request:
    """The request of a connection; ``InvalidRequest`` when it is not one."""
    return (await read_opening(reader))[1]


async def read_opening(reader: asyncio.StreamReader) -> tuple[str, Request]:
    """The request of a connection, after the id on its ticket, empty where it has none."""
    id = ""
    try:
        opening = REQUESTS.decode(await read_frame(reader))
        if isinstance(opening, Ticket):
            id, opening = opening.id, REQUESTS.decode(await read_frame(reader))
    except (DecodeError, RecursionError) as error:
        raise InvalidRequest(f"The request is malformed: {error}") from error
    if isinstance(opening, Ticket):
        raise InvalidRequest("The request is malformed: it has two tickets.")
    return id, opening


async def read_event(reader: asyncio.StreamReader) -> Event:
    """The next event of a connection; an event that cannot be read is an engine that died."""
    try:
        return EVENTS.decode(await read_frame(reader))
    except (DecodeError, RecursionError) as error:
        raise EngineDied("The engine sent something that is not an event.") from error
