"""What of a conversation can be left out together, oldest first.

A question goes with its answers, so that what is left still alternates, as many templates demand.
Of the last turn only finished calls of tools go, each with its results; its question stays, and so
does the last message. System messages always stay. Pure Python over messages.
"""

from __future__ import annotations

from collections.abc import Sequence

from inference.protocol import Message

Group = tuple[int, ...]


def droppable(messages: Sequence[Message]) -> list[Group]:
    """Groups of indices in ``messages``, in the order in which they can be left out."""
    turns = _turns(messages)
    if not turns:
        return []
    *earlier, last = turns
    return [tuple(turn) for turn in earlier] + _calls(messages, last)


def _turns(messages: Sequence[Message]) -> list[list[int]]:
    """The conversation cut before each message of the user."""
    turns: list[list[int]] = []
    for index, message in enumerate(messages):
        if message.role == "system":
            continue
        if message.role == "user" or not turns:
            turns.append([])
        turns[-1].append(index)
    return turns


def _calls(messages: Sequence[Message], turn: list[int]) -> list[Group]:
    """The steps of a turn, each an assistant's message and the results of its calls, but the last."""
    steps: list[list[int]] = []
    for index in turn:
        if messages[index].role == "assistant" or not steps:
            steps.append([])
        steps[-1].append(index)
    begins_with_question = messages[turn[0]].role == "user"
    return [tuple(step) for step in steps[1 if begins_with_question else 0 : -1]]
