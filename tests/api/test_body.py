from __future__ import annotations

import pytest
from msgspec import Struct

from hugweb.api.body import MOST_COMMAS, parse
from inference.errors import InvalidRequest, TooLarge


class Inner(Struct):
    role: str
    words: list[str] = []


class Outer(Struct):
    model: str = ""
    inner: list[Inner] = []
    bias: dict[int, float] = {}


def test_null_is_not_given_and_the_empty_string_only_if_it_is_said_so() -> None:
    body = b'{"model":"","inner":null}'
    assert parse(body, Outer) == Outer()
    assert parse(b'{"model":null}', Outer) == Outer()
    with pytest.raises(InvalidRequest):
        parse(b'{"inner":""}', Outer)
    assert parse(b'{"inner":""}', Outer, absent=(None, "")) == Outer()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"model":1}', "model"),
        (b'{"inner":[{"role":"a"},{"role":1}]}', "inner[1].role"),
        (b'{"inner":[{"role":"a","words":["a",2]}]}', "inner[0].words[1]"),
        (b'{"inner":[{}]}', "inner[0].role"),
        (b'{"bias":{"a":1}}', "bias"),
        (b'{"bias":{"1":"a"}}', "bias"),
        (b"[]", None),
        (b"{", None),
        (b"", None),
    ],
)
def test_what_is_wrong_is_named(body: bytes, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse(body, Outer)
    assert error.value.param == param


def test_what_nobody_knows_is_never_made_into_objects() -> None:
    """Nor is it judged: a number too large for Python, and text that is no UTF-8."""
    deep = b"[" * 50 + b"]" * 50
    assert parse(b'{"model":"x","junk":[1e999,' + deep + b'],"more":"\xff"}', Outer) == Outer(model="x")


def test_values_beyond_count_are_refused_before_they_are_read() -> None:
    body = b'{"model":"x","inner":[' + b",".join([b'{"role":"a"}'] * (MOST_COMMAS + 1)) + b"]}"
    with pytest.raises(TooLarge, match="values"):
        parse(body, Outer)
