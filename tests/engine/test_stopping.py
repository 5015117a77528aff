from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.stopping import StopStrings


def shown(stops: list[str], pieces: list[str]) -> str:
    watcher = StopStrings(stops)
    out = ""
    for piece in pieces:
        out += watcher.push(piece)
        if watcher.found:
            return out
    return out + watcher.flush()


def expected(stops: list[str], text: str) -> str:
    ends = [text.find(stop) for stop in stops if stop in text]
    return text[: min(ends)] if ends else text


letters = st.text(alphabet="ab€", max_size=4)


@given(st.lists(letters.filter(bool), max_size=3), st.lists(letters, max_size=12))
def test_text_ends_at_the_first_stop_that_is_complete(stops: list[str], pieces: list[str]) -> None:
    """However the text is cut, no stop string is shown, not even in part before it is complete."""
    out = shown(stops, pieces)
    whole = "".join(pieces)
    assert whole.startswith(out)
    assert all(stop not in out for stop in stops)
    if not any(stop in whole for stop in stops):
        assert out == whole


@given(letters.filter(bool), st.lists(letters, max_size=12))
def test_one_stop_string_cuts_exactly(stop: str, pieces: list[str]) -> None:
    assert shown([stop], pieces) == expected([stop], "".join(pieces))


@pytest.mark.parametrize(
    ("stops", "pieces", "out"),
    [
        (["END"], ["one E", "ND two"], "one "),
        (["END"], ["one E", "N", "O"], "one ENO"),
        (["ab", "aba"], ["x", "a", "ba"], "x"),
        (["\n\n"], ["a\n", "b\n", "\nc"], "a\nb"),
        (["€"], ["1", "0 €", "!"], "10 "),
        ([], ["all", " of it"], "all of it"),
    ],
)
def test_examples(stops: list[str], pieces: list[str], out: str) -> None:
    assert shown(stops, pieces) == out


def test_what_cannot_become_a_stop_is_shown_at_once() -> None:
    watcher = StopStrings(["<end>"])
    assert watcher.push("hello <") == "hello "
    assert watcher.push("b") == "<b"
