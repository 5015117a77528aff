"""What the tests of readers share: tools, and answers put together from their pieces."""

from __future__ import annotations

from typing import Any, Protocol

from hypothesis import strategies as st

from inference.protocol import Called, Piece, Text, Thought, Tool

WEATHER = Tool(
    name="get_weather",
    description="The weather of a city.",
    parameters={
        "type": "object",
        "properties": {
            "city": {"enum": ["Paris", "Rome"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 9},
        },
        "required": ["city", "days"],
    },
)
NOTE = Tool(
    name="note",
    parameters={
        "type": "object",
        "properties": {"text": {"type": "string"}, "tags": {"type": "array"}, "sure": {"type": "boolean"}},
        "required": ["text"],
    },
)
TOOLS = {tool.name: tool for tool in (WEATHER, NOTE)}


class Reader(Protocol):
    def push(self, text: str) -> list[Piece]: ...
    def finish(self) -> list[Piece]: ...


def read(reader: Reader, pieces: list[str]) -> list[tuple[str, Any]]:
    """The answer that ``pieces`` are, neighbouring texts joined; ids, which are random, left out."""
    events = [event for piece in pieces for event in reader.push(piece)] + reader.finish()
    joined: list[tuple[str, Any]] = []
    for event in events:
        kind, value = as_pair(event)
        if joined and kind != "call" and joined[-1][0] == kind:
            joined[-1] = (kind, joined[-1][1] + value)
        else:
            joined.append((kind, value))
    return joined


def as_pair(event: Piece) -> tuple[str, Any]:
    if isinstance(event, Called):
        assert event.call.id.startswith("call_")
        assert len(event.call.id) >= 13
        return "call", (event.call.name, event.call.arguments)
    assert isinstance(event, Text | Thought)
    assert event.text
    return ("text" if isinstance(event, Text) else "thought"), event.text


def split(text: str, cuts: list[int]) -> list[str]:
    """``text`` cut at these places, whatever they are."""
    places = sorted({cut % (len(text) + 1) for cut in cuts})
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


cuts = st.lists(st.integers(0, 10_000), max_size=12)
