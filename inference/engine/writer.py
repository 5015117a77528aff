"""From the tokens of one answer to the pieces of it that go out.

Tokens become text in whole characters, the text ends before a stop string, and a reader tells
thoughts and calls from it. Each of the three may hold text back; its tokens and their logprobs wait
with it and go out with the next piece, so that none is lost or counted twice. Stop strings act on
what the model wrote, before the reader sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from inference.engine.answers import AnswerReader
from inference.engine.detokenize import Detokenizer
from inference.engine.stopping import StopStrings
from inference.protocol import Logprob, Piece, Text


class AnswerWriter:
    """Writes one answer: sample ``sample`` of its request."""

    def __init__(
        self,
        decode: Callable[[list[int]], str],
        stops: Sequence[str],
        reader: AnswerReader | None = None,
        sample: int = 0,
    ) -> None:
        self._detokenizer = Detokenizer(decode)
        self._stops = StopStrings(stops)
        self._reader = reader
        self._sample = sample
        # Tokens that wait, each with where its text begins, in characters of the answer.
        self._waiting: list[tuple[int, Logprob | None]] = []
        self._written = self._shown = 0

    @property
    def stopped(self) -> bool:
        """Whether a stop string has come, or all that may come: ``finish`` is next."""
        return bool(self._stops.found) or (self._reader is not None and self._reader.ended)

    @property
    def stop_string(self) -> str:
        """The stop string that has come, if one has."""
        return self._stops.found

    def push(self, token: int, logprob: Logprob | None = None) -> list[Piece]:
        """The pieces that ``token`` completes. Logprobs of a stop string are dropped with it."""
        self._waiting.append((self._written, logprob))
        text = self._detokenizer.push(token)
        if not text:
            return []
        self._written += len(text)
        shown = self._stops.push(text)
        self._shown += len(shown)
        return self._accounted(self._read(shown))

    def finish(self) -> list[Piece]:
        """What was held back, now that no more tokens come.

        Logprobs that no text takes along, as those of an unfinished character, come with an empty one.
        """
        pieces = self._read(self._stops.flush())
        if self._reader:
            pieces += self._reader.finish()
        self._shown = self._written + 1
        if not pieces and any(logprob for _, logprob in self._waiting):
            pieces = [Text(text="")]
        return self._accounted(pieces)

    def _read(self, text: str) -> list[Piece]:
        if not text:
            return []
        return self._reader.push(text) if self._reader else [Text(text=text)]

    def _accounted(self, pieces: list[Piece]) -> list[Piece]:
        """``pieces`` with the tokens that wait: of several, the last has the newest, and the first what was
        held back before."""
        if self._stops.found:
            self._waiting = [(begin, one if begin < self._shown else None) for begin, one in self._waiting]
            self._shown = self._written + 1
        if not pieces:
            return []
        ready = [logprob for begin, logprob in self._waiting if begin < self._shown]
        del self._waiting[: len(ready)]
        if len(pieces) == 1:
            return [self._with(pieces[0], ready)]
        first, *between, last = pieces
        between = [self._with(piece, []) for piece in between]
        return [self._with(first, ready[:-1]), *between, self._with(last, ready[-1:])]

    def _with(self, piece: Piece, tokens: list[Logprob | None]) -> Piece:
        """``piece`` with ``tokens``, each its logprob if that is wanted."""
        logprobs = tuple(logprob for logprob in tokens if logprob)
        return replace(piece, tokens=len(tokens), sample=self._sample, logprobs=logprobs)
