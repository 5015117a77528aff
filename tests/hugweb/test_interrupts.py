"""Ctrl-C ends what a command does, at whatever moment it comes."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from hugweb.interrupts import run_until_ctrl_c


@pytest.fixture
def presses() -> Iterator[threading.Event]:
    """Set it, and Ctrl-C comes to another thread than this one, whose system call it does not interrupt.

    As if it had come just before that.
    """
    event = threading.Event()

    def press() -> None:
        event.wait()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press, daemon=True)
    thread.start()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    yield event
    thread.join()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def test_ctrl_c_is_heard_by_a_loop_that_sleeps(presses: threading.Event) -> None:
    ended = []

    async def work() -> None:
        asyncio.get_running_loop().call_soon(presses.set)
        try:
            async with asyncio.timeout(20):
                await asyncio.Event().wait()
        finally:
            ended.append(True)

    with asyncio.Runner() as runner:
        with pytest.raises(KeyboardInterrupt):
            run_until_ctrl_c(work(), runner)
        assert ended == [True]
        run_until_ctrl_c(asyncio.sleep(0), runner)


def test_what_fails_by_itself_says_so() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    with asyncio.Runner() as runner, pytest.raises(ZeroDivisionError):
        run_until_ctrl_c(work(), runner)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
