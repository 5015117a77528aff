"""A prompt sent back as it is read: its text, and its logprobs where they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inference.engine.detokenize import Detokenizer
from inference.engine.logprobs import LogprobReport, Score
from inference.protocol import Logprob, Text


class Echo:
    """Echoes ``prompt`` piece by piece, so that no piece is longer than what was read in one pass.

    Its pieces have no tokens: they are not part of the answer.
    """

    def __init__(
        self, prompt: list[int], decode: Callable[[list[int]], str], report: LogprobReport | None
    ) -> None:
        self._prompt = prompt
        self._detokenizer = Detokenizer(decode)
        self._report = report
        # Nothing stands before the first token.
        self._scores: list[Score | None] = [None]
        self._sent = 0
        self.pieces: list[Text] = []

    def push(self, read: int, scores: Sequence[Score | None]) -> list[Text]:
        """The prompt up to its ``read`` tokens; ``scores`` are those of the tokens that follow the ones
        that were read now."""
        self._scores += scores
        tokens = self._prompt[self._sent : read]
        text = "".join(map(self._detokenizer.push, tokens))
        logprobs: tuple[Logprob, ...] = ()
        if self._report:
            logprobs = tuple(map(self._report.of, tokens, self._scores[self._sent : read]))
        self._sent = read
        self.pieces.append(Text(text=text, tokens=0, logprobs=logprobs))
        return self.pieces[-1:]
