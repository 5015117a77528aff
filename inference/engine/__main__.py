"""``python -m inference.engine``: the process around the core: configuration, signals, parent.

Exit codes: 0 after a stop that was asked for, 2 for a configuration that is wrong.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import stat
import sys
import threading

import msgspec

from inference.engine.config import ENVIRONMENT_VARIABLE, EngineConfig
from inference.engine.core import Engine
from inference.engine.handlers import load_handler, warm_up
from inference.engine.memory import Memory
from inference.engine.notebook import Notebook
from inference.engine.residents import Residents
from inference.engine.server import EngineServer
from inference.request_id import RequestIds

logger = logging.getLogger(__name__)

LAST_RESORT_SECONDS = 5.0


def main() -> None:
    try:
        config = EngineConfig.from_json(os.environ[ENVIRONMENT_VARIABLE])
    except (KeyError, msgspec.DecodeError) as error:
        print(f"{ENVIRONMENT_VARIABLE} is missing or wrong: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    logging.basicConfig(
        level=config.log_level.upper(),
        format="%(asctime)s %(levelname)s [%(request_id)s] %(name)s: %(message)s",
    )
    for handler in logging.root.handlers:
        handler.addFilter(RequestIds())
    os.umask(0o077)
    asyncio.run(serve(config))


async def serve(config: EngineConfig) -> None:
    """Serve until a signal or the end of the parent."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    _end_with_parent(loop, stopping)
    notebook = Notebook(config.notebook)
    engine = Engine(Residents(load_handler, config, Memory(config, notebook), notebook), config)
    async with EngineServer(engine, config.address, config.write_timeout):
        logger.info("The engine listens.")
        threading.Thread(target=warm_up, args=(config,), name="warm-up", daemon=True).start()
        warming = asyncio.create_task(engine.warm()) if config.warm_up else None
        await stopping.wait()
        if warming:
            warming.cancel()
    await engine.close()
    # Threads in the middle of a model's step must not keep the process from ending.
    logging.shutdown()
    os._exit(0)


def _end_with_parent(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    """Stop at end of file on stdin, where that is a pipe: its other end is the parent's life."""
    if not stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
        return

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        loop.call_soon_threadsafe(stopping.set)
        threading.Event().wait(LAST_RESORT_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


if __name__ == "__main__":
    main()
