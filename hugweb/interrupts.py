"""Ctrl-C for what a command does in an event loop.

Knows nothing of what is done.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable


def run_until_ctrl_c(work: Awaitable[None], runner: asyncio.Runner) -> None:
    """Do ``work`` with ``runner``, in the main thread. Ctrl-C cancels it, and is raised once it has ended.

    What a runner does by itself (https://docs.python.org/3/library/asyncio-runner.html) wakes no loop: Ctrl-C
    in the moment before the loop goes to sleep would be noticed with the next event only, if one comes.
    """
    try:
        runner.run(_cancelled_by_ctrl_c(work))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _cancelled_by_ctrl_c(work: Awaitable[None]) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task, "a runner makes one"
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    try:
        await work
    finally:
        loop.remove_signal_handler(signal.SIGINT)
