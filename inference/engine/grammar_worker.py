"""Tries grammars out in a process of its own: python -m inference.engine.grammar_worker.

A schema comes with a request, and some small ones take llguidance for ever: to see whether a text can
match twenty patterns at once takes a minute, thirty take days. Where the process comes back, the grammar
can be compiled where it is wanted. A job is a ``Trial``, its answer is empty: what is wrong with a grammar
is said where it is compiled.
"""

from __future__ import annotations

import msgspec
from llguidance import LLMatcher, LLTokenizer
from msgspec import Struct

from inference.isolated_worker import serve, timed

# llguidance's own: each byte is a token. What takes long has nothing to do with tokens.
BYTES = "byte"


class Trial(Struct, frozen=True):
    """A grammar in llguidance's dialect of Lark, to be compiled within so many seconds of computing."""

    source: str
    seconds: float


def answer(job: bytes) -> bytes:
    """Compile the grammar of an encoded ``Trial``; the process ends if that takes too long."""
    trial = msgspec.msgpack.decode(job, type=Trial)
    with timed(trial.seconds):
        LLMatcher(
            LLTokenizer(BYTES), LLMatcher.grammar_from_lark(trial.source), log_level=0
        ).compute_bitmask()
    return b""


if __name__ == "__main__":
    serve(answer)
