"""Attention of a chunk of a prompt, against float64."""

from __future__ import annotations

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inference.engine.kernels.library import Kernels
from tests.engine.kernels.attending import SLOTS, Case

# Relative to the largest value: queries and weights are rounded to bfloat16. Measured 0.0022.
ERROR = 0.005
# More than two blocks of keys, more than one part of the rows.
DEEPEST = 330


@st.composite
def cases(draw: st.DrawFn) -> tuple[Case, int, int]:
    """A layer, how many tokens a chunk has and where it begins."""
    torch.manual_seed(draw(st.integers(0, 2**31)))
    start, count = draw(st.integers(0, DEEPEST)), draw(st.integers(1, 70) | st.just(256))
    key_heads = draw(st.integers(1, 3))
    case = Case(
        heads=key_heads * draw(st.integers(1, 5)),
        key_heads=key_heads,
        size=draw(st.sampled_from([8, 48, 64, 80, 128])),
        columns=start + count + draw(st.integers(0, 70)),
        window=draw(st.just(0) | st.integers(1, DEEPEST)),
        normed=draw(st.booleans()),
    )
    return case, start, count


@given(made=cases())
@settings(max_examples=60, deadline=None)
def test_tokens_make_of_what_they_see_what_they_should(kernels: Kernels, made: tuple[Case, int, int]) -> None:
    case, start, count = made
    tokens = case.tokens(count)
    untouched = [part.clone() for part in (case.keys, case.values)]
    attended = kernels.attend_chunk(case.layer, *tokens, slot=1, start=start)

    queries, keys, values = case.made(*tokens)
    written = slice(start, start + count)
    torch.testing.assert_close(case.keys[1, :, written].double(), keys.transpose(0, 1), rtol=8e-3, atol=1e-5)
    assert torch.equal(case.values[1, :, written].double(), values.transpose(0, 1))
    expected = case.attended(queries, 1, start)
    assert float((attended - expected).abs().max()) <= ERROR * float(case.values.abs().max())

    for part, before in zip((case.keys, case.values), untouched, strict=True):
        part[1, :, written] = before[1, :, written]
        assert torch.equal(part, before), "nothing else is written"


@given(made=cases(), sizes=st.lists(st.integers(1, 100), min_size=1))
@example(made=(Case(9, 3, 64, 400, window=70), 100, 256), sizes=[1, 63, 64])
@settings(max_examples=40, deadline=None)
def test_a_token_is_the_same_in_any_chunk(
    kernels: Kernels, made: tuple[Case, int, int], sizes: list[int]
) -> None:
    case, start, count = made
    tokens = case.tokens(count)
    whole = kernels.attend_chunk(case.layer, *tokens, slot=2, start=start)
    done, pieces = 0, []
    while done < count:
        size = sizes[len(pieces) % len(sizes)]
        piece = (part[done : done + size] for part in tokens)
        pieces.append(kernels.attend_chunk(case.layer, *piece, slot=2, start=start + done))
        done += size
    assert torch.equal(torch.cat(pieces), whole)


def test_what_others_left_does_no_harm(kernels: Kernels) -> None:
    """Numbers of a request that overflowed, in other slots and behind what was read."""
    torch.manual_seed(0)
    case = Case(heads=6, key_heads=2, size=64, columns=300)
    tokens = case.tokens(31)
    clean = kernels.attend_chunk(case.layer, *tokens, slot=1, start=200)
    for part in (case.keys, case.values):
        part[[slot for slot in range(SLOTS) if slot != 1]] = torch.nan
        part[1, :, 231:] = torch.nan
    assert torch.equal(kernels.attend_chunk(case.layer, *tokens, slot=1, start=200), clean)


def test_numbers_that_overflow_are_not_hidden(kernels: Kernels) -> None:
    """They are told by the logits, so they have to reach them."""
    torch.manual_seed(0)
    case = Case(heads=2, key_heads=1, size=64, columns=100)
    case.keys[0, 0, 5] = torch.nan
    assert kernels.attend_chunk(case.layer, *case.tokens(3), slot=0, start=80).isnan().all()


def test_scores_may_be_large_and_far_apart(kernels: Kernels) -> None:
    """One key that all look at, in the last block; before it, scores that rise from block to block."""
    torch.manual_seed(0)
    case = Case(heads=3, key_heads=1, size=64, columns=400)
    qkv, cosine, sine = case.tokens(2)
    queries, _, _ = case.made(qkv, cosine, sine)
    case.keys[0, 0, :390] = (queries[0, 0] * torch.linspace(-40, 40, 390)[:, None]).to(torch.bfloat16)
    attended = kernels.attend_chunk(case.layer, qkv, cosine, sine, slot=0, start=390)
    expected = case.attended(queries, 0, 390)
    assert float((attended[0, :64] - expected[0, :64]).abs().max()) <= ERROR * 4


def test_threads_share_the_work(kernels: Kernels) -> None:
    torch.manual_seed(0)
    case = Case(heads=4, key_heads=1, size=64, columns=600)
    tokens = case.tokens(256)
    alone = kernels.attend_chunk(case.layer, *tokens, slot=3, start=300)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        together = kernels.attend_chunk(case.layer, *tokens, slot=3, start=300)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(together, alone)
