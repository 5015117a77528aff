"""Work in a thread of one's own, for the request that asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")


async def in_thread(threads: Executor, function: Callable[..., T], *arguments: object) -> T:
    """What ``function`` returns in one of ``threads``, where lines name the request that waits for it.

    As ``asyncio.to_thread``, which always takes the loop's own threads.
    """
    return await asyncio.get_running_loop().run_in_executor(threads, copy_context().run, function, *arguments)
