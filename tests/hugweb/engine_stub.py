"""A stand-in for ``python -m inference.engine``: the fake engine as a process of its own.

Ends at end of file on stdin, and at SIGTERM unless its only argument is ``stubborn``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

from tests.fakes import FakeEngine


async def main() -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, lambda: None if "stubborn" in sys.argv else ended.set())
    async with FakeEngine(json.loads(os.environ["HUGWEB_ENGINE_CONFIG"])["address"]):
        parent = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        await asyncio.wait({parent, asyncio.create_task(ended.wait())}, return_when=asyncio.FIRST_COMPLETED)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
