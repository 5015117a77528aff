"""A process that runs ``hugweb.server.Server`` with an application that misbehaves as its paths say.

Prints its port when it listens. ``REQUEST_SECONDS``, ``HEADERS_SECONDS`` and ``FLUSH_SECONDS`` replace the
constants.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import django

django.setup()

from hugweb import channel, request, server  # noqa: E402
from hugweb.drain import Drain  # noqa: E402
from hugweb.listen import bind, listen  # noqa: E402
from hugweb.server import Server  # noqa: E402

LARGE = 16 * 2**20
START = {"type": "http.response.start", "status": 200, "headers": []}


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        if scope["path"] == "/ws/fail":
            raise RuntimeError("on purpose")
        if scope["path"] == "/ws/talk":
            await talk(receive, send)
            return
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    match scope["path"]:
        case "/api/fail":
            raise RuntimeError("on purpose")
        case "/api/fail-late":
            await send(START)
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            await asyncio.sleep(0)
            raise RuntimeError("on purpose")
        case "/api/forever":
            await send(START)
            await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        case "/api/pieces":
            await send({**START, "headers": [(b"content-length", b"9")]})
            for piece in (b"one", b"two", b"six"):
                await send({"type": "http.response.body", "body": piece, "more_body": piece != b"six"})
            return
        case "/api/large":
            await send(START)
            await send({"type": "http.response.body", "body": b"x" * LARGE})
            return
        case "/api/deaf":
            logging.info("deaf from now on")
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    continue
    size = 0
    while (message := await receive())["type"] == "http.request":
        size += len(message["body"])
        if not message["more_body"]:
            break
    seen = f"{scope['path']} {scope['root_path']} {size}"
    await send(START)
    await send({"type": "http.response.body", "body": seen.encode()})


async def talk(receive, send):
    """Say more than anybody reads, until the other side is gone."""
    gone, said = asyncio.ensure_future(receive()), 0
    while not gone.done():
        await send({"type": "websocket.send", "bytes": b"x" * 2**20})
        said += 1
        await asyncio.sleep(0)
    logging.info("gone after %d MB", said)


def main() -> None:
    listener = bind("127.0.0.1", 0)
    listen(listener)
    drain = Drain()
    request.REQUEST_SECONDS = float(os.environ.get("REQUEST_SECONDS", request.REQUEST_SECONDS))
    channel.HEADERS_SECONDS = float(os.environ.get("HEADERS_SECONDS", channel.HEADERS_SECONDS))
    server.FLUSH_SECONDS = float(os.environ.get("FLUSH_SECONDS", server.FLUSH_SECONDS))
    Server(drain.wrap(app), listener, drain, None, lambda: announce(listener)).run()


def announce(listener):
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
