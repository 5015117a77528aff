"""From a blocking iterator in a thread to an asynchronous one on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import Executor
from typing import TypeVar, cast

Item = TypeVar("Item")
_END = object()


async def iterate_in_thread(
    executor: Executor, items: Generator[Item, None, None]
) -> AsyncGenerator[Item, None]:
    """The items of ``items``, which runs in a thread of ``executor``; its error is raised here.

    Closing this iterator ends ``items`` at its next item, and waits for that.
    """
    loop = asyncio.get_running_loop()
    mailbox: asyncio.Queue[Item | object] = asyncio.Queue()
    leaving = threading.Event()

    def run() -> None:
        with contextlib.closing(items):
            for item in items:
                loop.call_soon_threadsafe(mailbox.put_nowait, item)
                if leaving.is_set():
                    return

    work = loop.run_in_executor(executor, run)
    work.add_done_callback(lambda _: mailbox.put_nowait(_END))
    try:
        while True:
            item = await mailbox.get()
            if item is _END:
                break
            yield cast(Item, item)
        await work
    finally:
        leaving.set()
        await asyncio.wait({work})
