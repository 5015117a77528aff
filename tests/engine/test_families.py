"""Families of models, each tiny: batched ragged rows say what ``generate`` says of each alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from inference.engine.choice import choose_forward
from inference.engine.kernels.library import Kernels
from inference.engine.kernels.making import KernelsInTheMaking
from inference.engine.lean_forward import LeanForward
from inference.engine.module_forward import ModuleForward
from inference.engine.plain_forward import PlainForward
from inference.errors import Unsupported
from inference.protocol import Quantization

SIZES = {
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "pad_token_id": 0,
}
NO_HEAD_DIM: dict[str, Any] = {"head_dim": None}
WINDOW = {"sliding_window": 8}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "mistral": WINDOW,
    "phi3": NO_HEAD_DIM,
    "phi": NO_HEAD_DIM,
    "gemma": {},
    "gemma2": WINDOW | {"query_pre_attn_scalar": 8},
    "gemma3_text": WINDOW | {"query_pre_attn_scalar": 8},
    "olmo2": {},
    "granite": {},
    "smollm3": {},
    "starcoder2": WINDOW,
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
}
# Contexts of 64, and in all but the first a table of as many positions.
WHOLE: dict[str, dict[str, Any]] = {
    "llama": {"max_position_embeddings": 64},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "max_position_embeddings": 64},
    "gptj": {"n_embd": 32, "n_layer": 2, "n_head": 4, "max_position_embeddings": 64, "rotary_dim": 4},
    "opt": NO_HEAD_DIM | {"ffn_dim": 64, "word_embed_proj_dim": 32, "max_position_embeddings": 64},
}
PROMPTS = ([5, 6, 7, 8, 9], list(range(20, 37)), [50, 40, 30, 20, 10, 11, 12, 13, 14, 15, 16])
COUNT = 20
TEXTS = ((1, 2, 3, 4, 5, 6), (5, 4, 3, 2))


def tiny(family: str, more: dict[str, Any], dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    sizes = {name: value for name, value in {**SIZES, **more}.items() if value is not None}
    config = AutoConfig.for_model(family, **sizes, eos_token_id=None)
    config.initializer_range = 0.3
    return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def alone(model: Any, prompt: list[int]) -> list[int]:
    ids = torch.tensor([prompt])
    output = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=COUNT, eos_token_id=None
    )
    said: list[int] = output[0, len(prompt) :].tolist()
    return said


@pytest.mark.parametrize("family", FAMILIES)
def test_ragged_rows_say_what_generate_says(family: str) -> None:
    """Also past a sliding window, and with a slot in the middle that has nothing to say."""
    model = tiny(family, FAMILIES[family])
    said = run_batched(choose_forward(model, TEXTS, wanted=4, longest=64))
    assert said == [alone(model, prompt) for prompt in PROMPTS]


@pytest.mark.parametrize("family", WHOLE)
def test_a_context_may_be_as_long_as_the_model_knows_positions(family: str) -> None:
    """A slot in the middle that has nothing to say has no position behind the last of a table of them."""
    model = tiny(family, WHOLE[family])
    said = run_batched(choose_forward(model, TEXTS, wanted=4, longest=64))
    assert said == [alone(model, prompt) for prompt in PROMPTS]


def test_the_lean_pass_is_chosen_where_it_is_right() -> None:
    chosen = {
        family: type(choose_forward(tiny(family, more), TEXTS, wanted=4, longest=64))
        for family, more in FAMILIES.items()
    }
    lean = {family for family, kind in chosen.items() if kind is LeanForward}
    assert lean == {"llama", "qwen2", "qwen3", "mistral"}
    assert set(chosen.values()) == {LeanForward, ModuleForward}


def test_frequencies_by_the_longest_row_are_left_to_the_modules() -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    model = tiny("llama", {"rope_parameters": rope, "max_position_embeddings": 64})
    forward = choose_forward(model, TEXTS, wanted=4, longest=64)
    assert isinstance(forward, ModuleForward)
    assert run_batched(forward) == [alone(model, prompt) for prompt in PROMPTS]


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "mistral"])
def test_the_modules_say_the_same(family: str) -> None:
    """The way that is taken where the lean one is not."""
    model = tiny(family, FAMILIES[family])
    forward = ModuleForward(model)
    forward.allocate(4, 64)
    assert run_batched(forward) == [alone(model, prompt) for prompt in PROMPTS]


def test_a_lean_pass_that_gives_other_logits_is_not_chosen() -> None:
    model = tiny("llama", {})
    model.config.rms_norm_eps = 10.0
    assert type(choose_forward(model, TEXTS, wanted=4, longest=64)) is ModuleForward


def run_batched(forward: LeanForward | ModuleForward | PlainForward) -> list[list[int]]:
    """Greedy answers to all prompts, read in two pieces and then decoded together."""
    assert not isinstance(forward, PlainForward)
    slots = (0, 2, 3)
    said: list[list[int]] = []
    for slot, prompt in zip(slots, PROMPTS, strict=True):
        forward.read(slot, 0, prompt[:4])
        logits = forward.read(slot, 4, prompt[4:])
        said.append([int(logits.argmax())])
    for _ in range(COUNT - 1):
        positions = [len(prompt) + len(words) - 1 for prompt, words in zip(PROMPTS, said, strict=True)]
        logits = forward.decode(slots, positions, [words[-1] for words in said])
        for words, token in zip(said, logits.argmax(dim=-1).tolist(), strict=True):
            words.append(token)
    return said


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma3_text"])
@pytest.mark.parametrize("lean", [True, False])
def test_a_copied_slot_goes_on_as_its_source(family: str, lean: bool) -> None:
    """And every token read has its logits, whole or in pieces, as the model itself gives them."""
    model = tiny(family, FAMILIES[family])
    forward = choose_forward(model, TEXTS, wanted=4, longest=64) if lean else ModuleForward(model)
    forward.allocate(4, 64)
    prompt = PROMPTS[1]
    logits = torch.cat(
        [forward.read(3, 0, prompt[:9], every=True), forward.read(3, 9, prompt[9:], every=True)]
    )
    with torch.inference_mode():
        expected = model(input_ids=torch.tensor([prompt])).logits[0]
    assert torch.allclose(logits, expected, atol=1e-4)
    forward.copy(3, 1, len(prompt) - 1)
    at, token = len(prompt) - 1, prompt[-1]
    together = forward.decode([1, 3], [at, at], [token, token])
    assert torch.allclose(together, expected[-1:].expand(2, -1), atol=1e-4)


@pytest.mark.parametrize(
    ("family", "more"),
    [
        ("mamba", {"state_size": 4, "expand": 2, "num_hidden_layers": 2, "use_cache": True}),
        ("rwkv", {"attention_hidden_size": 32, "num_hidden_layers": 2}),
    ],
)
def test_models_with_a_state_run_one_at_a_time(family: str, more: dict[str, Any]) -> None:
    model = tiny(family, more)
    forward = choose_forward(model, TEXTS, wanted=4, longest=64)
    assert isinstance(forward, PlainForward)
    for prompt in PROMPTS[:2]:
        said = [int(forward.read(0, 0, prompt).argmax())]
        for _ in range(COUNT - 1):
            said.append(int(forward.decode([0], [0], said[-1:]).argmax()))
        assert said == alone(model, prompt)


LEAN = ["llama", "qwen2", "qwen3", "mistral"]


@pytest.mark.parametrize("family", LEAN)
@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_quantized_rows_say_the_same_alone_and_together(family: str, quantization: Quantization) -> None:
    forward = LeanForward(tiny(family, FAMILIES[family]), quantization)
    forward.allocate(4, 64)
    assert run_batched(forward) == run_alone(forward)


@pytest.mark.parametrize("family", LEAN)
@pytest.mark.parametrize("quantization", ["none", "int8", "int4"])
def test_rows_say_the_same_alone_and_together_with_kernels(
    family: str, quantization: Quantization, kernels: Kernels
) -> None:
    """Also past a sliding window."""
    forward = LeanForward(tiny(family, FAMILIES[family], torch.bfloat16), quantization, kernels)
    forward.allocate(4, 64)
    assert run_batched(forward) == run_alone(forward)


@pytest.mark.parametrize("family", LEAN)
@pytest.mark.parametrize("quantization", ["none", "int8", "int4"])
def test_a_prompt_is_the_same_in_any_pieces_with_kernels(
    family: str, quantization: Quantization, kernels: Kernels
) -> None:
    """Bit for bit, so that an answer does not depend on how much of its prompt was there already."""
    forward = LeanForward(tiny(family, FAMILIES[family], torch.bfloat16), quantization, kernels)
    forward.allocate(4, 64)
    prompt = [index * 7 % 128 for index in range(60)]
    whole = forward.read(0, 0, prompt, every=True)
    assert torch.equal(forward.read(3, 0, prompt), whole[-1:])
    for size in (1, 7, 32):
        pieces = [
            forward.read(1, start, prompt[start : start + size], every=True) for start in range(0, 60, size)
        ]
        assert torch.equal(torch.cat(pieces), whole)


@pytest.mark.parametrize("family", LEAN)
def test_kernels_give_the_logits_that_torch_gives(family: str, kernels: Kernels) -> None:
    """Of the same weights in bfloat16, against float32: no further off than torch's own operations,
    but for rounding by chance."""
    model = tiny(family, FAMILIES[family], torch.bfloat16)
    exact = tiny(family, FAMILIES[family])
    exact.load_state_dict(model.state_dict())
    errors = {}
    for name, chosen in (("torch", None), ("kernels", kernels)):
        forward = LeanForward(model, "none", chosen)
        forward.allocate(4, 64)
        for slot, prompt in enumerate(PROMPTS):
            forward.read(slot, 0, prompt[:-1])
        positions = [len(prompt) - 1 for prompt in PROMPTS]
        logits = forward.decode(range(3), positions, [prompt[-1] for prompt in PROMPTS])
        expected = torch.cat([exact(torch.tensor([prompt])).logits[:, -1] for prompt in PROMPTS])
        errors[name] = float((logits.float() - expected.detach()).norm() / expected.detach().norm())
    assert errors["kernels"] < 2 * errors["torch"]
    assert errors["torch"] < 0.1


def run_alone(forward: LeanForward) -> list[list[int]]:
    """Greedy answers to the prompts, one after the other."""
    answers = []
    for prompt in PROMPTS:
        said = [int(forward.read(1, 0, prompt).argmax())]
        for _ in range(COUNT - 1):
            position = len(prompt) + len(said) - 1
            said.append(int(forward.decode([1], [position], said[-1:]).argmax()))
        answers.append(said)
    return answers


@pytest.mark.parametrize("family", ["gpt2", "gemma3_text", "phi3", "olmo2", "starcoder2", "qwen3_moe"])
@pytest.mark.parametrize("quantization", ["none", "int8", "int4"])
def test_modules_with_swapped_layers_stay_near_the_models_logits(
    family: str, quantization: Quantization, kernels: Kernels
) -> None:
    """Every family can be packed and quantized; rows stay independent of each other."""
    model = tiny(family, FAMILIES[family], torch.bfloat16)
    forward = choose_forward(
        model, TEXTS, wanted=4, longest=64, quantization=quantization, making=KernelsInTheMaking(kernels)
    )
    assert isinstance(forward, ModuleForward)
    together, alone = run_batched(forward), run_alone(forward)
    assert together == alone


def test_layers_that_were_swapped_in_vain_are_put_back(kernels: Kernels) -> None:
    model = tiny("phi3", FAMILIES["phi3"], torch.bfloat16)
    ids = torch.tensor([PROMPTS[0]])
    before = model(ids).logits
    forward = ModuleForward(model, "int4", kernels)
    assert not torch.equal(model(ids).logits, before), "the swapped layers run"
    forward.undo()
    assert torch.equal(model(ids).logits, before)


def test_what_cannot_be_quantized_is_said() -> None:
    """GPT-2 has its own kind of layer, and a table of words that is also its head."""
    model = tiny("gpt2", FAMILIES["gpt2"])
    model.lm_head = torch.nn.Identity()
    with pytest.raises(Unsupported, match="cannot be loaded in int8"):
        choose_forward(model, TEXTS, wanted=1, longest=64, quantization="int8")


def test_slots_of_modules_are_made_when_their_number_is_known() -> None:
    """Not with the first request, when what was free may be another model's."""
    forward = choose_forward(tiny("gemma2", FAMILIES["gemma2"]), TEXTS, wanted=4, longest=64)
    assert isinstance(forward, ModuleForward)
    assert forward.bytes_per_token == 2 * 4 * 2 * 8 * 4
