"""What slots keep of a text, and for whom."""

from __future__ import annotations

from inference.protocol import Done
from tests.engine.arithmetic import Arithmetic, Client, expected, run, scheduler_of


def test_the_next_turn_reads_only_what_is_new() -> None:
    forward = Arithmetic(2)
    scheduler = scheduler_of(forward)
    history = list(range(100))
    for turn in range(5):
        client = Client([*history, 500 + turn], 10)
        scheduler.waiting.append(client.row)
        before = forward.read_tokens
        run(scheduler)
        assert client.said == expected(client.prompt, 10)
        assert forward.read_tokens - before == (101 if turn == 0 else 2)
        assert isinstance(client.last, Done)
        assert client.last.usage.cached == (0 if turn == 0 else len(client.prompt) - 2)
        history = [*client.prompt, *client.said]


def test_a_slot_that_cannot_go_back_is_read_anew() -> None:
    forward = Arithmetic(1, rewinds=False)
    scheduler = scheduler_of(forward)
    for prompt in ([1, 2, 3, 4], [1, 2, 9, 9]):
        client = Client(prompt, 3)
        scheduler.waiting.append(client.row)
        run(scheduler)
        assert client.said == expected(prompt, 3)
    assert forward.read_tokens == 8


def test_what_one_owner_had_read_is_not_reused_for_another() -> None:
    forward = Arithmetic(1)
    scheduler = scheduler_of(forward)
    for owner, cached in (("ann", 0), ("bob", 0), ("bob", 3)):
        client = Client([1, 2, 3, 4], 2, owner)
        scheduler.waiting.append(client.row)
        run(scheduler)
        assert isinstance(client.last, Done)
        assert client.last.usage.cached == cached


def test_two_conversations_keep_their_slots() -> None:
    forward = Arithmetic(2)
    scheduler = scheduler_of(forward)
    histories = {"a": [1] * 50, "b": [2] * 50}
    for turn in range(6):
        name = "ab"[turn % 2]
        client = Client([*histories[name], 3], 4)
        scheduler.waiting.append(client.row)
        run(scheduler)
        histories[name] = [*client.prompt, *client.said]
    assert forward.read_tokens == 2 * 51 + 4 * 2


def test_the_end_of_a_prompt_that_was_there_is_read_as_the_whole_would_be() -> None:
    """In a pass of its own, of one token: decoding it beside the others would round otherwise, and an answer
    depend on what a slot happens to hold."""
    forward = Arithmetic(2)
    scheduler = scheduler_of(forward)
    first = Client([1, 2, 3], 30)
    scheduler.waiting.append(first.row)
    scheduler.step()
    read = forward.read_tokens
    second = Client([1, 2, 3], 30)
    scheduler.waiting.append(second.row)
    run(scheduler)
    assert first.said == second.said == expected([1, 2, 3], 30)
    assert forward.read_tokens == read + 1
