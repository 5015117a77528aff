from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.trimming import droppable
from inference.protocol import Message, Role, ToolCall

KINDS: dict[str, Role] = {"s": "system", "u": "user", "a": "assistant", "c": "assistant", "t": "tool"}


def chat(kinds: str) -> list[Message]:
    """One message for each letter; ``c`` calls a tool and ``t`` is its result."""
    call = (ToolCall(name="f", arguments={}),)
    return [Message(role=KINDS[kind], tool_calls=call if kind == "c" else ()) for kind in kinds]


@pytest.mark.parametrize(
    ("kinds", "groups"),
    [
        ("", []),
        ("s", []),
        ("u", []),
        ("suau", [(1, 2)]),
        ("uauau", [(0, 1), (2, 3)]),
        ("uuu", [(0,), (1,)]),
        ("auau", [(0,), (1, 2)]),
        ("uctau", [(0, 1, 2, 3)]),
        ("uauctct", [(0, 1), (3, 4)]),
        ("uctta", [(1, 2, 3)]),
        ("sasu", [(1,)]),
        ("ctct", [(0, 1)]),
        ("a", []),
    ],
)
def test_what_goes_together(kinds: str, groups: list[tuple[int, ...]]) -> None:
    assert droppable(chat(kinds)) == groups


@given(st.lists(st.sampled_from(["u", "a", "ct", "ctt", "s"]), max_size=12), st.integers(0, 12))
def test_no_result_without_its_call_and_always_the_last(turns: list[str], count: int) -> None:
    kinds = "".join(turns)
    groups = droppable(chat(kinds))
    dropped = [index for group in groups[:count] for index in group]
    assert len(dropped) == len(set(dropped))
    kept = "".join(kind for index, kind in enumerate(kinds) if index not in dropped)
    assert kept.count("s") == kinds.count("s")
    spoken = kinds.replace("s", "")
    assert kept.replace("s", "")[-1:] == spoken[-1:]
    for index, kind in enumerate(kinds):
        if kind == "t" and index not in dropped:
            call = max(place for place in range(index) if kinds[place] == "c")
            assert call not in dropped
    if "u" in kinds and len(dropped) == sum(map(len, groups)):
        assert kept.replace("s", "").startswith("u")
