"""Text models: chat and completion with any causal language model of transformers.

One request at a time, in a thread of its own; others wait their turn in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils import logging as transformers_logging

from inference.engine.config import EngineConfig
from inference.engine.decoding import Decoding
from inference.engine.handlers.base import ModelHandler
from inference.engine.hardware import choose_device, choose_dtype
from inference.engine.prompts import PromptBuilder
from inference.engine.threads import iterate_in_thread
from inference.errors import InferenceError, OutOfMemory
from inference.protocol import Event, Events, Generate, Options, Queued

logger = logging.getLogger(__name__)

# Ollama's defaults, for models whose generation_config does not say.
DEFAULTS = Options(num_predict=-1, temperature=0.8, top_k=40, top_p=0.9, min_p=0.0, stop=())

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()


def load(folder: Path, config: EngineConfig) -> TextHandler:
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
    return TextHandler(model, tokenizer, config.context_length)


class TextHandler(ModelHandler):
    """Runs a causal language model with its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any, context_length: int = 0) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._prompts = PromptBuilder(tokenizer, model.config.vocab_size)
        self._ends = _end_tokens(model.generation_config, tokenizer)
        self._defaults = _model_defaults(model.generation_config)
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="text")
        self.device = model.device.type
        self.size = model.get_memory_footprint()
        longest = getattr(model.config, "max_position_embeddings", None) or 4096
        self.context_length = min(longest, context_length or longest)

    async def run(self, request: Generate) -> Events:
        if self._turn.locked():
            yield Queued(position=self._waiting + 1)
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        try:
            steps = iterate_in_thread(self._thread, self._guarded(request))
            async with contextlib.aclosing(steps) as steps:
                async for events in steps:
                    for event in events:
                        yield event
        finally:
            self._turn.release()

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        del self._model
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def _guarded(self, request: Generate) -> Generator[list[Event], None, None]:
        """``_steps`` with torch's own errors in our words."""
        try:
            yield from self._steps(request)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory("Memory ran out. Try a shorter prompt or a smaller model.") from error
        except RuntimeError as error:
            logger.exception("The model failed.")
            raise InferenceError("The model failed while answering. The engine's log says more.") from error

    def _steps(self, request: Generate) -> Generator[list[Event], None, None]:
        options = request.options.over(self._defaults).over(DEFAULTS)
        context = min(self.context_length, options.num_ctx or self.context_length)
        prompt = self._prompts.build(request, context)
        room = context - len(prompt)
        wanted = options.num_predict if options.num_predict is not None else -1
        decoding = Decoding(
            model=self._model,
            prompt=prompt,
            options=options,
            limit=room if wanted < 0 else min(wanted, room),
            ends=self._ends,
            decode=partial(
                self._tokenizer.decode, skip_special_tokens=True, clean_up_tokenization_spaces=False
            ),
        )
        for events in decoding.run():
            self.steps += 1
            yield events


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
