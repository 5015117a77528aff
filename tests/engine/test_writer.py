"""The writer with tokens that are letters, and a reader that knows one tag."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inference.engine.answers import AnswerReader
from inference.engine.writer import AnswerWriter
from inference.protocol import Logprob, Piece, Text, Thought

LETTERS = "abc[]€"


def decode(tokens: list[int]) -> str:
    """Three bytes of a token each make the last letter; all others are one token."""
    raw = b"".join(LETTERS[token].encode() if token < 5 else bytes([token]) for token in tokens)
    return raw.decode(errors="replace")


def tokens_of(text: str) -> list[int]:
    return [
        token
        for letter in text
        for token in ([LETTERS.index(letter)] if letter != "€" else list("€".encode()))
    ]


class Brackets:
    """What stands in brackets is a thought, letter by letter; an exclamation mark is the end."""

    ended = False

    def __init__(self) -> None:
        self._inside = False

    def push(self, text: str) -> list[Piece]:
        pieces: list[Piece] = []
        for letter in text:
            self.ended = self.ended or letter == "!"
            if letter in "[]":
                self._inside = letter == "["
            else:
                pieces.append(Thought(text=letter) if self._inside else Text(text=letter))
        return pieces

    def finish(self) -> list[Piece]:
        return [Text(text="!")]


def logprob(token: int) -> Logprob:
    return Logprob(token=token, text="", raw=b"", logprob=-1.0)


def written(text: str, stops: list[str], reader: AnswerReader | None) -> tuple[list[Piece], int]:
    """The pieces of ``text``, and how many tokens were pushed until a stop."""
    writer = AnswerWriter(decode, stops, reader, sample=3)
    pieces: list[Piece] = []
    pushed = 0
    for token in tokens_of(text):
        pieces += writer.push(token, logprob(token))
        pushed += 1
        if writer.stopped:
            break
    return pieces + writer.finish(), pushed


texts = st.text(alphabet=LETTERS, max_size=20)
stops = st.lists(st.text(alphabet=LETTERS, min_size=1, max_size=3), max_size=2)


@given(texts, stops, st.booleans())
def test_no_token_and_no_logprob_is_lost_or_counted_twice(text: str, stops: list[str], reads: bool) -> None:
    pieces, pushed = written(text, stops, Brackets() if reads else None)
    stopped = any(stop in text for stop in stops)
    assert all(piece.sample == 3 for piece in pieces)
    tokens = sum(piece.tokens for piece in pieces)
    assert tokens <= pushed if stopped else tokens == pushed or not pieces
    logprobs = [one.token for piece in pieces for one in piece.logprobs]
    if not stopped:
        assert logprobs == tokens_of(text)
    else:
        assert logprobs == tokens_of(text)[: len(logprobs)]
        if not reads:
            assert decode(logprobs) == "".join(piece.text for piece in pieces if isinstance(piece, Text))


@given(texts)
def test_without_a_reader_all_is_text(text: str) -> None:
    pieces, _ = written(text, [], None)
    assert "".join(piece.text for piece in pieces if isinstance(piece, Text)) == text


def test_what_was_held_back_goes_with_the_first_and_the_newest_with_the_last() -> None:
    writer = AnswerWriter(decode, ["ca"], Brackets())
    assert writer.push(tokens_of("[")[0]) == []
    assert writer.push(tokens_of("c")[0]) == []
    assert writer.push(tokens_of("b")[0]) == [Thought(text="c", tokens=2), Thought(text="b", tokens=1)]
    assert writer.finish() == [Text(text="!", tokens=0)]


def test_logprobs_of_an_unfinished_character_are_not_lost() -> None:
    writer = AnswerWriter(decode, [])
    half = "€".encode()[0]
    assert writer.push(half, logprob(half)) == []
    assert writer.finish() == [Text(text="", tokens=1, logprobs=(logprob(half),))]
    assert writer.finish() == []
