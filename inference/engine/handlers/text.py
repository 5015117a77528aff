"""Text models: chat and completion with any causal language model of transformers.

Requests are batched: prompts are built in a thread of their own, and the batch's thread does the
rest. Models whose modules cannot be batched run one request at a time, by the same scheduler with
one slot.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils import logging as transformers_logging

from inference.engine.batch import Batch
from inference.engine.choice import choose_forward, trial_texts
from inference.engine.config import EngineConfig
from inference.engine.grammar import Grammar, GrammarBuilder
from inference.engine.handlers.base import ModelHandler
from inference.engine.hardware import choose_device, choose_dtype
from inference.engine.kernels.making import KERNELS
from inference.engine.prompts import PromptBuilder
from inference.engine.row import Row
from inference.engine.sampler import BatchSampler
from inference.engine.scheduler import Scheduler
from inference.errors import Unsupported
from inference.protocol import Done, Event, Events, Generate, Options, Quantization, Queued, Usage, Work

# Ollama's defaults, for models whose generation_config does not say.
DEFAULTS = Options(
    num_predict=-1,
    temperature=0.8,
    top_k=40,
    top_p=0.9,
    min_p=0.0,
    typical_p=1.0,
    repeat_last_n=64,
    repeat_penalty=1.0,
    presence_penalty=0.0,
    frequency_penalty=0.0,
    logit_bias={},
    num_keep=0,
    ignore_eos=False,
    stop=(),
)

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()


def load(folder: Path, quantization: Quantization, config: EngineConfig) -> TextHandler:
    """The handler of the model in ``folder``. Blocks for as long as reading the weights takes."""
    device = choose_device(config.device, _count_parameters(folder))
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=choose_dtype(config.precision, device),
        device_map={"": device},
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
    ).eval()
    return TextHandler(model, tokenizer, quantization, config)


class TextHandler(ModelHandler):
    """Runs a causal language model with its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any, quantization: Quantization, config: EngineConfig) -> None:
        self._tokenizer = tokenizer
        self._prompts = PromptBuilder(tokenizer, model.config.vocab_size)
        self._ends = _end_tokens(model.generation_config, tokenizer)
        self._grammars = GrammarBuilder(tokenizer, model.config.vocab_size, self._ends)
        self._defaults = _model_defaults(model.generation_config).over(DEFAULTS)
        self.device = model.device.type
        self.size = model.get_memory_footprint()
        longest = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 4096
        longest = min(longest, config.context_length or longest)
        texts = trial_texts(lambda sentence: tokenizer(sentence)["input_ids"])
        forward = choose_forward(
            model,
            texts,
            wanted=config.num_parallel,
            longest=longest,
            quantization=quantization,
            kernels=KERNELS.get(),
        )
        self.context_length = forward.context
        self._batch = Batch(
            Scheduler(forward, BatchSampler()), places=forward.slots, max_queue=config.max_queue
        )
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prompt")

    @property
    def steps(self) -> int:
        return self._batch.steps

    async def run(self, request: Work) -> Events:
        if not isinstance(request, Generate):
            raise Unsupported("This model writes text; it cannot do what was asked.")
        with self._batch.admitted() as place:
            if place > 0:
                yield Queued(position=place)
            async with contextlib.aclosing(self._answer(request)) as events:
                async for event in events:
                    yield event

    async def _answer(self, request: Generate) -> Events:
        loop = asyncio.get_running_loop()
        options = request.options.over(self._defaults)
        context = min(self.context_length, options.num_ctx or self.context_length)
        grammar = await loop.run_in_executor(self._thread, self._grammars.build, request.format)
        prompt = await loop.run_in_executor(self._thread, self._prompts.build, request, context)
        limit = _limit(options.num_predict, context - len(prompt))
        if limit == 0:
            yield Done(reason="length", usage=Usage(prompt=len(prompt)), context=tuple(prompt))
            return
        make_row = partial(self._row, request, grammar, prompt, options, limit)
        async with contextlib.aclosing(self._batch.run(make_row)) as events:
            async for event in events:
                yield event

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._batch.close()
        del self._batch
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def _row(
        self,
        request: Generate,
        grammar: Grammar | None,
        prompt: list[int],
        options: Options,
        limit: int,
        deliver: Callable[[list[Event]], None],
    ) -> Row:
        return Row(
            prompt=prompt,
            options=options,
            limit=limit,
            ends=self._ends,
            decode=partial(
                self._tokenizer.decode, skip_special_tokens=True, clean_up_tokenization_spaces=False
            ),
            deliver=deliver,
            owner=request.owner,
            grammar=grammar,
        )


def _limit(wanted: int | None, room: int) -> int:
    """Tokens to generate at most: as many as wanted, where there is room for them."""
    return room if wanted is None or wanted < 0 else min(wanted, room)


def _count_parameters(folder: Path) -> int:
    """Parameters of all weights in ``folder``, from the files' headers."""
    total = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118 - not a dict
                total += _product(weights.get_slice(name).get_shape())
    return total


def _product(shape: list[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _end_tokens(config: GenerationConfig, tokenizer: Any) -> frozenset[int]:
    """Every token that ends an answer, by the model's configuration and by its tokenizer."""
    configured = config.eos_token_id
    ends = set(configured if isinstance(configured, list) else [configured])
    ends.add(tokenizer.eos_token_id)
    return frozenset(token for token in ends if token is not None)


def _model_defaults(config: GenerationConfig) -> Options:
    """The sampling that the model's makers recommend, where they do."""
    if not config.do_sample:
        return Options()
    return Options(temperature=config.temperature, top_k=config.top_k, top_p=config.top_p, min_p=config.min_p)
