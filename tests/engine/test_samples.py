"""Requests of every kind through the scheduler at once, each against what it says by itself."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from inference.engine.logprobs import LogprobReport
from inference.engine.row import Row
from inference.engine.rows import DEFAULTS
from inference.engine.samples import Deliver, sampled
from inference.engine.scheduler import Scheduler
from inference.protocol import Done, Event, Failed, Reading, Text, Usage
from tests.engine.arithmetic import VOCABULARY, Arithmetic, Greedy, following, run, scheduler_of


@dataclass(frozen=True)
class Wish:
    """What a request asks for."""

    prompt: tuple[int, ...]
    limit: int = 6
    samples: int = 1
    seed: int | None = None
    owner: str = ""
    logprobs: int | None = None
    echo: bool = False
    context: int | None = None
    keep: int = 0
    arrives: int = 0
    leaves: int | None = None

    def alone(self, sample: int) -> list[int]:
        """What a sample says, token by token, from what it remembers."""
        stream = random.Random(f"{self.seed}/{sample}" if sample else self.seed)
        seen, said = list(self.prompt), []
        for _ in range(self.limit):
            drawn = int(stream.random() * 5) if self.seed is not None else 0
            said.append((following(seen) + drawn) % VOCABULARY)
            seen.append(said[-1])
            if len(seen) == self.context:
                del seen[self.keep : self.keep + max(1, (len(seen) - self.keep) // 2)]
        return said


class Client:
    """A request and what came of it."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.events: list[Event] = []
        self.rows = sampled(wish.samples, self._row, self.events.extend)

    def _row(self, sample: int, leader: Row | None, deliver: Deliver) -> Row:
        wish = self.wish
        temperature = 0.0 if wish.seed is None else 1.0
        report = None if wish.logprobs is None else LogprobReport(lambda token: b"%d " % token, wish.logprobs)
        return Row(
            prompt=list(wish.prompt),
            options=replace(DEFAULTS, temperature=temperature, seed=wish.seed),
            limit=wish.limit,
            ends=frozenset(),
            decode=lambda tokens: "".join(f"{token} " for token in tokens),
            deliver=deliver,
            owner=wish.owner,
            report=report,
            echo=wish.echo,
            context=wish.context,
            keep=wish.keep,
            sample=sample,
            leader=leader,
        )

    def pieces(self, sample: int) -> list[Text]:
        return [event for event in self.events if isinstance(event, Text) and event.sample == sample]

    def said(self, sample: int) -> list[int]:
        return [int(word) for piece in self.pieces(sample) for word in piece.text.split()]

    @property
    def last(self) -> Event:
        return self.events[-1]

    def check(self) -> None:
        """Every sample said all that it says alone, with every token and every logprob, and one end."""
        wish, done = self.wish, self.last
        assert isinstance(done, Done)
        assert [isinstance(event, Done) for event in self.events].count(True) == 1
        assert done.usage.completion == wish.limit * wish.samples
        assert done.reasons == (("length",) * wish.samples if wish.samples > 1 else ())
        echoed = list(wish.prompt) if wish.echo else []
        for sample in range(wish.samples):
            tokens = echoed + wish.alone(sample)
            assert self.said(sample) == tokens
            assert sum(piece.tokens for piece in self.pieces(sample)) == wish.limit
            if wish.logprobs is not None:
                self.check_logprobs(sample, tokens)
        read = [event for event in self.events if isinstance(event, Reading)]
        assert [event.done for event in read] == sorted({event.done for event in read})
        assert read[-1].done == len(wish.prompt)

    def check_logprobs(self, sample: int, tokens: list[int]) -> None:
        reported = [one for piece in self.pieces(sample) for one in piece.logprobs]
        assert [one.token for one in reported] == tokens
        if self.wish.echo:
            assert reported[0].logprob is None
            for at, one in enumerate(reported[1 : len(self.wish.prompt)], start=1):
                assert one.logprob == -following(self.wish.prompt[:at])
        assert all(len(one.top) == self.wish.logprobs for one in reported if one.logprob is not None)


prompts = st.lists(st.integers(0, 3), min_size=1, max_size=9).map(tuple)
wishes = st.builds(
    Wish,
    prompt=prompts,
    limit=st.integers(1, 25),
    samples=st.integers(1, 4),
    seed=st.one_of(st.none(), st.integers(0, 3)),
    owner=st.sampled_from(["", "ann"]),
    logprobs=st.one_of(st.none(), st.integers(0, 2)),
    echo=st.booleans(),
    context=st.one_of(st.none(), st.integers(10, 14)),
    keep=st.integers(0, 8),
    arrives=st.integers(0, 20),
    leaves=st.one_of(st.none(), st.integers(0, 40)),
).map(lambda wish: wish if wish.keep <= len(wish.prompt) else _keeping_less(wish))


def _keeping_less(wish: Wish) -> Wish:
    return Wish(**{**wish.__dict__, "keep": len(wish.prompt)})


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 4), st.lists(wishes, max_size=7), st.booleans())
def test_whatever_comes_and_goes_each_says_what_it_says_alone(
    slots: int, plan: Sequence[Wish], rewinds: bool
) -> None:
    scheduler = scheduler_of(Arithmetic(slots if rewinds else 1, rewinds))
    clients = [Client(wish) for wish in plan]
    for step in range(2000):
        for client in clients:
            if client.wish.arrives == step:
                scheduler.waiting.extend(client.rows)
            if client.wish.leaves == step:
                for row in client.rows:
                    row.cancelled = True
        scheduler.step()
        assert scheduler.active <= slots
        if step > 40 and not scheduler.busy:
            break
    assert not scheduler.busy
    for client in clients:
        if client.wish.leaves is None:
            client.check()
        for sample in range(client.wish.samples):
            whole = [*(client.wish.prompt if client.wish.echo else ()), *client.wish.alone(sample)]
            assert client.said(sample) == whole[: len(client.said(sample))]


def test_samples_read_their_prompt_once() -> None:
    forward = Arithmetic(4)
    scheduler = scheduler_of(forward)
    client = Client(Wish(tuple(range(100)), samples=4, seed=1))
    scheduler.waiting.extend(client.rows)
    run(scheduler)
    client.check()
    assert forward.read_tokens == 100


def test_samples_that_find_no_slot_wait_for_one() -> None:
    """And let others pass only while they themselves cannot start."""
    forward = Arithmetic(2)
    scheduler = scheduler_of(forward)
    client, other = Client(Wish(tuple(range(50)), samples=5, seed=1)), Client(Wish((7,)))
    scheduler.waiting.extend([*client.rows, *other.rows])
    run(scheduler)
    client.check()
    other.check()
    assert forward.read_tokens <= 51


class Breaking:
    """A format that breaks at its third token."""

    accepted = 0

    def allowed(self) -> None:
        """The arithmetic sampler asks nobody."""

    def accept(self, token: int) -> None:
        self.accepted += 1
        if self.accepted == 3:
            raise ValueError("no further")


def test_a_sample_that_fails_ends_its_request_and_no_other() -> None:
    scheduler: Scheduler[list[int]] = Scheduler(Arithmetic(4), Greedy())
    client, other = Client(Wish((1, 2), samples=3, limit=20)), Client(Wish((3,), limit=20))
    client.rows[1].grammar = Breaking()
    scheduler.waiting.extend([*client.rows, *other.rows])
    run(scheduler)
    assert isinstance(client.last, Failed)
    assert [isinstance(event, Failed) for event in client.events].count(True) == 1
    assert max(row.generated for row in client.rows) < 5
    other.check()


def test_samples_say_how_they_ended_in_their_order() -> None:
    """Whichever ended first."""
    client = Client(Wish(prompt=(1,), samples=2))
    first, second = client.rows
    first.first = second.first = 1
    second.deliver([Done(reason="stop", usage=Usage(prompt=1, completion=2))])
    assert client.events == []
    first.deliver([Done(reason="length", usage=Usage(prompt=1, completion=6))])
    assert isinstance(client.last, Done)
    assert (client.last.reason, client.last.reasons) == ("length", ("length", "stop"))
    assert client.last.usage.completion == 8


def test_a_prompt_alone_can_be_echoed() -> None:
    scheduler = scheduler_of(Arithmetic(2))
    client = Client(Wish((1, 2, 3), limit=0, samples=3, echo=True, logprobs=1))
    scheduler.waiting.extend(client.rows)
    run(scheduler)
    client.check()
