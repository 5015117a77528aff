"""Models that bitsandbytes quantizes while they load, as on CUDA, by its CPU backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from bitsandbytes.nn import Linear8bitLt
from msgspec.structs import replace
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    BertConfig,
    BertModel,
)

from inference.engine.choice import choose_forward
from inference.engine.config import EngineConfig
from inference.engine.core import Engine
from inference.engine.handlers.vision import towers
from inference.engine.lean_forward import LeanForward
from inference.engine.module_forward import ModuleForward
from inference.engine.quantizer import QUANTIZERS, left_to_swap, quantized_loading
from inference.errors import CannotLoad
from inference.protocol import Embed, Embedded, Generate, Message, ModelRef, Options, Quantization, Text
from tests.engine.engines import engine_of
from tests.engine.test_families import PROMPTS, TEXTS, alone, run_batched
from tests.engine.test_independence import REQUESTS, SLOTS, answers
from tests.serving import PROJECT
from tests.shapes import saved
from tests.tiny import make_tiny_llama, tiny_tokenizer
from tests.tiny_vision import make_tiny_vision, noise

QUANTIZED: tuple[Quantization, ...] = ("int8", "int4")
STARTER = PROJECT / ".cache" / "starter" / "models" / "HuggingFaceTB" / "SmolLM2-135M-Instruct"


@pytest.fixture
def by_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU quantizes as CUDA does."""
    monkeypatch.setitem(QUANTIZERS, "cpu", "bitsandbytes")


@pytest.fixture(scope="module")
def llama(models_root: Path) -> Path:
    return make_tiny_llama(models_root / "quantizer" / "llama")


def loaded(folder: Path, quantization: Quantization, dtype: torch.dtype = torch.bfloat16) -> Any:
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, device_map={"": "cpu"}, **quantized_loading(quantization, "cpu", dtype)
    ).eval()


def logits(model: Any) -> Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.arange(40)[None]).logits[0].float()


def sums_are_exact() -> bool:
    """Whether torch sums products of 8 bits without overflow: not with AVX512 and without VNNI."""
    large = torch.full((32, 64), 127, dtype=torch.int8)
    return bool((torch._int_mm(large, large.T.contiguous()) == 127 * 127 * 64).all())


@pytest.mark.parametrize("quantization", QUANTIZED)
def test_it_says_nearly_what_the_model_says(
    by_library: None, llama: Path, quantization: Quantization
) -> None:
    if quantization == "int8" and not sums_are_exact():
        pytest.skip("torch's sums of whole numbers overflow on this processor, and bitsandbytes' with them")
    plain, quantized = loaded(llama, "none"), loaded(llama, quantization)
    assert left_to_swap(quantized, quantization) == "none"
    assert quantized.get_memory_footprint() < plain.get_memory_footprint()
    expected = logits(plain)
    spread = (expected - expected.mean(dim=1, keepdim=True)).norm()
    # Measured 0.05 and 0.48: random weights lose more than trained ones. Noise would be 1.4 away.
    assert (logits(quantized) - expected).norm() < {"int8": 0.15, "int4": 0.7}[quantization] * spread


@pytest.mark.parametrize("quantization", QUANTIZED)
def test_the_lean_pass_takes_its_layers(by_library: None, llama: Path, quantization: Quantization) -> None:
    """And says with them what the model itself does."""
    model = loaded(llama, quantization, torch.float32)
    expected = [alone(model, prompt) for prompt in PROMPTS]
    forward = choose_forward(model, TEXTS, wanted=4, longest=64, quantization=quantization)
    assert isinstance(forward, LeanForward)
    assert run_batched(forward) == expected


@pytest.mark.parametrize("quantization", QUANTIZED)
@pytest.mark.parametrize("way", [LeanForward, ModuleForward])
def test_alone_and_among_many(by_library: None, llama: Path, quantization: Quantization, way: Any) -> None:
    forward = way(loaded(llama, quantization))
    together = answers(forward, list(range(REQUESTS)), SLOTS)
    for number in range(0, REQUESTS, 3):
        assert answers(forward, [number], 2)[number] == together[number]


def test_files_that_are_quantized_already(
    monkeypatch: pytest.MonkeyPatch, llama: Path, tmp_path: Path
) -> None:
    """They run as they are, on a CPU too, and are not quantized once more."""
    with monkeypatch.context() as as_on_cuda:
        as_on_cuda.setitem(QUANTIZERS, "cpu", "bitsandbytes")
        quantized = loaded(llama, "int8")
        assert left_to_swap(quantized, "int8") == "none"
        quantized.save_pretrained(tmp_path)
    kept = loaded(tmp_path, "none")
    assert torch.equal(logits(kept), logits(quantized))
    assert isinstance(choose_forward(kept, TEXTS, wanted=4, longest=64), LeanForward)
    with pytest.raises(CannotLoad, match="quantized already"):
        choose_forward(loaded(tmp_path, "int4"), TEXTS, wanted=4, longest=64, quantization="int4")


def test_outliers_of_one_row_change_no_other(by_library: None, llama: Path) -> None:
    layer = loaded(llama, "int8").model.layers[0].self_attn.q_proj
    torch.manual_seed(0)
    rows = torch.randn(4, 64, dtype=torch.bfloat16)
    rows[1, ::7] = 40.0
    with torch.inference_mode():
        together = layer(rows)
        assert all(torch.equal(layer(rows[row : row + 1])[0], together[row]) for row in range(4))
        assert torch.equal(layer(rows[::2]), together[::2])


@pytest.mark.parametrize("quantization", QUANTIZED)
async def test_a_model_that_writes(
    by_library: None, llama: Path, config: EngineConfig, quantization: Quantization
) -> None:
    engine = engine_of(replace(config, precision="bfloat16"))
    model = ModelRef(name="tiny", path=str(llama), quantization=quantization)
    request = Generate(model=model, prompt="Paris is", options=Options(temperature=0, num_predict=8))
    events = [event async for event in engine.submit(request)]
    await engine.close()
    assert "".join(event.text for event in events if isinstance(event, Text))


def kinds(module: nn.Module) -> set[type[nn.Module]]:
    return {type(part) for part in module.modules() if isinstance(part, nn.Linear)}


def test_towers_keep_their_bits(by_library: None, models_root: Path) -> None:
    folder = make_tiny_vision("qwen2_5_vl", models_root / "quantizer" / "sees")
    described = AutoConfig.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(
        folder, **quantized_loading("int8", "cpu", torch.float32, keep=lambda: towers(described))
    )
    assert kinds(model.model.visual) == kinds(nn.ModuleList([model.lm_head])) == {nn.Linear}
    assert kinds(model.get_decoder()) == {Linear8bitLt}


async def test_a_model_that_sees(by_library: None, models_root: Path, config: EngineConfig) -> None:
    folder = make_tiny_vision("qwen2_5_vl", models_root / "quantizer" / "sees")
    engine = engine_of(replace(config, precision="bfloat16"))
    message = Message(role="user", content="What is this?", images=(saved(noise(48, 40, 0)),))
    model = ModelRef(name="tiny", path=str(folder), quantization="int8")
    request = Generate(model=model, messages=(message,), options=Options(temperature=0, num_predict=8))
    events = [event async for event in engine.submit(request)]
    await engine.close()
    assert "".join(event.text for event in events if isinstance(event, Text))


async def vector(engine: Engine, folder: Path, quantization: Quantization) -> Tensor:
    model = ModelRef(name="tiny", path=str(folder), quantization=quantization)
    events = [event async for event in engine.submit(Embed(model=model, texts=("Paris is the capital.",)))]
    embedded = next(event for event in events if isinstance(event, Embedded))
    return torch.frombuffer(bytearray(embedded.vectors), dtype=torch.float32)


@pytest.mark.parametrize("quantization", QUANTIZED)
async def test_a_model_that_embeds(
    by_library: None, models_root: Path, config: EngineConfig, quantization: Quantization
) -> None:
    torch.manual_seed(0)
    folder, tokenizer = models_root / "quantizer" / f"bert-{quantization}", tiny_tokenizer()
    made = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.1,
    )
    BertModel(made).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    engine = engine_of(config)
    plain, quantized = await vector(engine, folder, "none"), await vector(engine, folder, quantization)
    await engine.close()
    assert 0.9 < float(plain @ quantized) < 0.99999


def test_a_device_without_a_quantizer_says_so() -> None:
    with pytest.raises(CannotLoad, match="on a CPU"):
        quantized_loading("int8", "mps", torch.float16)
    assert quantized_loading("none", "mps", torch.float16) == {}
    assert set(get_args(Quantization)) == {"none", *QUANTIZED}


@pytest.mark.starter
@pytest.mark.skipif(not STARTER.exists(), reason="no starter model here")
def test_a_trained_model_mostly_says_what_it_says_unquantized(by_library: None) -> None:
    text = (
        "The sun rises in the east and sets in the west. Water boils at one hundred degrees. "
        "In the morning the farmer went out to the field to look after the horses and the sheep."
    )
    ids = AutoTokenizer.from_pretrained(STARTER)(text, return_tensors="pt")["input_ids"]
    said = {}
    for quantization in ("none", *QUANTIZED):
        with torch.inference_mode():
            said[quantization] = loaded(STARTER, quantization)(input_ids=ids).logits[0].argmax(dim=-1)
    # Measured 0.79 and 0.66.
    assert (said["int8"] == said["none"]).float().mean() > 0.65
    assert (said["int4"] == said["none"]).float().mean() > 0.5
