"""Text models: chat and completion with any causal language model of transformers.

Requests are batched: prompts are built in a thread of their own, and the batch's thread does the
rest. Models whose modules cannot be batched run one request at a time, by the same scheduler with
one slot.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from inference.engine.batch import Batch
from inference.engine.choice import choose_forward, trial_texts
from inference.engine.config import EngineConfig
from inference.engine.forward import Forward
from inference.engine.handlers.base import ModelHandler
from inference.engine.hardware import choose_device, choose_dtype, device_name, dtype_name
from inference.engine.kernels.making import KERNELS
from inference.engine.prompts import PromptBuilder
from inference.engine.quantizer import quantized_loading
from inference.engine.rows import RowBuilder
from inference.engine.sampler import BatchSampler
from inference.engine.scheduler import Scheduler
from inference.engine.threads import in_thread
from inference.engine.video_memory import empty_cache
from inference.engine.weights import count_parameters
from inference.errors import Unsupported
from inference.protocol import (
    Detokenize,
    Done,
    Events,
    Generate,
    Quantization,
    Queued,
    Tokenize,
    Work,
)

Asked = TypeVar("Asked", bound=Work)
Built = TypeVar("Built")

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()


def load(folder: Path, quantization: Quantization, config: EngineConfig) -> TextHandler:
    """The handler of the model in ``folder``. Blocks for as long as reading the weights takes."""
    device = choose_device(config.device, count_parameters(folder))
    dtype = choose_dtype(config.precision, device)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        device_map={"": device},
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        **quantized_loading(quantization, device, dtype),
    ).eval()
    size = model.get_memory_footprint()
    forward = choose_forward(
        model,
        trial_texts(lambda sentence: tokenizer(sentence)["input_ids"]),
        wanted=config.num_parallel,
        longest=longest_text(model, config),
        quantization=quantization,
        making=KERNELS,
    )
    rows = RowBuilder(
        PromptBuilder(tokenizer, model.config.vocab_size), tokenizer, model.generation_config, forward.context
    )
    return TextHandler(forward, rows, model, size=size, max_queue=config.max_queue)


def longest_text(model: Any, config: EngineConfig) -> int:
    """Tokens of context that ``model`` was made for, or fewer where ``config`` says so."""
    longest: int = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 4096
    return min(longest, config.context_length or longest)


class TextHandler(ModelHandler):
    """Runs a model through ``forward``, on requests of which ``rows`` makes rows."""

    def __init__(
        self, forward: Forward[Tensor], rows: RowBuilder, model: Any, *, size: int, max_queue: int
    ) -> None:
        self.device, self.dtype = device_name(model.device), dtype_name(model.dtype)
        self.size = size
        self.context_length = forward.context
        self.places = forward.slots
        self._forward = forward
        # On a CPU what slots hold is only taken as they fill.
        if self.device != "cpu":
            self.reserved = forward.bytes_per_token * forward.slots * forward.context
        self._rows = rows
        self._batch = Batch(Scheduler(forward, BatchSampler()), places=forward.slots, max_queue=max_queue)
        # What waits for kernels need not wait for a request too.
        KERNELS.tell(self._batch.prepare)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prompt")

    @property
    def provisional(self) -> bool:
        return self._forward.provisional

    @property
    def manner(self) -> str:
        manner, slots = self._forward.manner, self._forward.slots
        return f"{manner}, {slots} at once" if slots > 1 else manner

    @property
    def steps(self) -> int:
        return self._batch.steps

    async def run(self, request: Work) -> Events:
        match request:
            case Generate(render_only=True):
                yield await self._threaded(self._rows.rendered, request)
                yield Done(reason="stop")
            case Tokenize():
                yield await self._threaded(self._rows.tokens, request)
                yield Done(reason="stop")
            case Detokenize():
                yield await self._threaded(self._rows.text, request)
                yield Done(reason="stop")
            case Generate():
                async with contextlib.aclosing(self._generate(request)) as events:
                    async for event in events:
                        yield event
            case _:
                raise Unsupported("This model writes text; it cannot do what was asked.")

    async def _generate(self, request: Generate) -> Events:
        """Wait in line, and answer."""
        with self._batch.admitted(request.samples) as place:
            if (position := self._batch.position(place)) > 0:
                yield Queued(position=position)
            plan = await self._threaded(self._rows.plan, request)
            if not plan.limit and not request.echo:
                yield plan.unanswered()
                return
            async with contextlib.aclosing(self._batch.run(place, plan.rows)) as events:
                async for event in events:
                    yield event

    async def _threaded(self, build: Callable[[Asked], Built], request: Asked) -> Built:
        """What ``build`` makes of ``request``, in the thread for what takes a moment."""
        return await in_thread(self._thread, build, request)

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._batch.close()
        del self._batch, self._forward
        gc.collect()
        empty_cache()
