from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.detokenize import LONGEST_WINDOW, REPLACEMENT, Detokenizer
from tests.tiny import tiny_tokenizer

TOKENIZER = tiny_tokenizer()


def decode(tokens: list[int]) -> str:
    return TOKENIZER.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def pieces(tokens: list[int]) -> list[str]:
    detokenizer = Detokenizer(decode)
    return [detokenizer.push(token) for token in tokens]


@given(st.text())
def test_pieces_join_to_the_text(text: str) -> None:
    tokens = TOKENIZER.encode(text.replace(REPLACEMENT, ""), add_special_tokens=False)
    assert "".join(pieces(tokens)) == decode(tokens)


@given(st.text(alphabet="é€😀👩‍👧a ", min_size=1))
def test_no_piece_holds_half_a_character(text: str) -> None:
    tokens = TOKENIZER.encode(text, add_special_tokens=False)
    assert all(REPLACEMENT not in piece for piece in pieces(tokens))


@given(st.lists(st.integers(0, len(TOKENIZER) - 1), max_size=60))
def test_any_tokens_come_out_but_for_an_unfinished_end(tokens: list[int]) -> None:
    """Also for bytes that are no text: everything but trailing replacement characters arrives."""
    joined = "".join(pieces(tokens))
    whole = decode(tokens)
    assert whole.startswith(joined)
    assert set(whole[len(joined) :]) <= {REPLACEMENT}


def test_a_character_of_several_tokens_comes_at_once() -> None:
    tokens = TOKENIZER.encode("😀", add_special_tokens=False)
    assert len(tokens) == 4
    assert pieces(tokens) == ["", "", "", "😀"]


def test_an_unfinished_character_is_never_shown() -> None:
    tokens = TOKENIZER.encode("ok😀", add_special_tokens=False)[:-1]
    assert "".join(pieces(tokens)) == "ok"


@pytest.mark.parametrize("count", [8, 20, 100])
def test_endless_broken_bytes_are_not_held_for_ever(count: int) -> None:
    continuation_byte = TOKENIZER.encode("😀", add_special_tokens=False)[1]
    joined = "".join(pieces([continuation_byte] * count))
    assert count - 8 <= len(joined) < count


def test_a_window_of_broken_bytes_stays_short() -> None:
    """Each step would take longer than the one before."""
    windows: list[int] = []

    def decode_counted(tokens: list[int]) -> str:
        windows.append(len(tokens))
        return decode(tokens)

    detokenizer = Detokenizer(decode_counted)
    smile = TOKENIZER.encode("😀", add_special_tokens=False)
    text = "".join(detokenizer.push(token) for token in [*[smile[1]] * 1000, *smile, *smile])
    assert text == REPLACEMENT * 1000 + "😀😀"
    assert max(windows) <= LONGEST_WINDOW + 1
