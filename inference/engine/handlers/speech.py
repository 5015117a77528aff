"""Speech models: what is said in a sound, with Whisper and what was made from it.

One request is listened to at a time, in a thread of its own; the others wait in line. See
``inference.engine.speech``.
"""

from __future__ import annotations

import contextlib
import gc
import time
from pathlib import Path
from typing import Any

from transformers import AutoProcessor, WhisperForConditionalGeneration

from inference.engine.config import EngineConfig
from inference.engine.handlers.base import ModelHandler
from inference.engine.hardware import choose_device, choose_dtype, device_name, dtype_name
from inference.engine.jobs import Jobs, Tell
from inference.engine.speech import Transcriber
from inference.engine.video_memory import empty_cache
from inference.engine.weights import count_parameters, touch
from inference.errors import CannotLoad, Unsupported
from inference.protocol import Done, Events, Quantization, Timings, Transcribe, Usage, Work


def load(folder: Path, quantization: Quantization, config: EngineConfig) -> SpeechHandler:
    """The handler of the model in ``folder``. Blocks for as long as reading the weights takes."""
    if quantization != "none":
        raise CannotLoad(f"Speech models cannot be loaded in {quantization}. Load it as it is.")
    device = choose_device(config.device, count_parameters(folder))
    processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    model = WhisperForConditionalGeneration.from_pretrained(
        folder,
        dtype=choose_dtype(config.precision, device),
        device_map={"": device},
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
    ).eval()
    return SpeechHandler(model, processor, config)


class SpeechHandler(ModelHandler):
    """Writes down what is said."""

    manner = "one at a time, transformers' modules"

    def __init__(self, model: Any, processor: Any, config: EngineConfig) -> None:
        self.device, self.dtype = device_name(model.device), dtype_name(model.dtype)
        self.size = model.get_memory_footprint()
        self.context_length = model.config.max_target_positions
        touch(model)
        self._transcriber = Transcriber(model, processor)
        self._jobs = Jobs(max_queue=config.max_queue)

    @property
    def steps(self) -> int:
        return self._transcriber.windows

    async def run(self, request: Work) -> Events:
        if not isinstance(request, Transcribe):
            raise Unsupported("This model writes down what is said; it cannot do what was asked.")
        async with contextlib.aclosing(self._jobs.run(lambda tell: self._listen(request, tell))) as events:
            async for event in events:
                yield event

    def _listen(self, request: Transcribe, tell: Tell) -> Done:
        started = time.perf_counter_ns()
        tokens = self._transcriber.transcribe(request, tell)
        took = time.perf_counter_ns() - started
        return Done(reason="stop", usage=Usage(completion=tokens), timings=Timings(completion=took))

    def close(self) -> None:
        self._jobs.close()
        del self._transcriber
        gc.collect()
        empty_cache()
