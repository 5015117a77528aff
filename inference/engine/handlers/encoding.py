"""What the handlers of encoders share: texts are tokenized in a thread, read in the batch, handed on."""

from __future__ import annotations

import contextlib
import gc
import time
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from inference.engine.config import EngineConfig
from inference.engine.encoder import Encoder
from inference.engine.encoder_batch import MOST_TOKENS, MOST_TOKENS_ON_CPU, EncoderBatch, Encoding, Job
from inference.engine.handlers.base import ModelHandler
from inference.engine.threads import in_thread
from inference.engine.video_memory import empty_cache
from inference.errors import Unsupported
from inference.protocol import (
    Detokenize,
    Done,
    Embed,
    Event,
    Events,
    Rerank,
    Timings,
    Tokenize,
    Usage,
    Work,
)

# Texts tokenized at a time: a cancel is noticed in between.
SLICE = 64

Asked = TypeVar("Asked", Embed, Rerank)
Given = TypeVar("Given")


class EncodingHandler(ModelHandler, Generic[Asked, Given]):
    """Answers requests of one type, each with one event made of the results of its texts, which come as
    ``Given``."""

    answers: type[Asked]
    refusal: str

    def __init__(self, encoder: Encoder, config: EngineConfig) -> None:
        self._encoder = encoder
        most = MOST_TOKENS_ON_CPU if encoder.device == "cpu" else MOST_TOKENS
        self._batch = EncoderBatch(self._results, max_queue=config.max_queue, most=most)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokens")
        self.device, self.dtype = encoder.device, encoder.dtype
        self.size = encoder.size
        self.context_length = encoder.longest

    @abstractmethod
    def _texts(self, request: Asked) -> Sequence[Given]:
        """The texts of ``request``."""

    @abstractmethod
    def _tokenize(self, request: Asked, texts: Sequence[Given]) -> list[Encoding]:
        """The tokens of some of its texts; called in a thread."""

    @abstractmethod
    def _results(self, texts: Sequence[Encoding]) -> Sequence[Any]:
        """A result for each text, in one pass; called in another thread."""

    @abstractmethod
    def _event(self, request: Asked, results: Sequence[Any]) -> Event:
        """The answer to ``request``."""

    @property
    def manner(self) -> str:
        return "batched, transformers' modules"

    @property
    def steps(self) -> int:
        return self._batch.steps

    async def run(self, request: Work) -> Events:
        match request:
            case Tokenize():
                yield await in_thread(self._thread, self._encoder.tokens, request)
                yield Done(reason="stop")
                return
            case Detokenize():
                yield await in_thread(self._thread, self._encoder.text, request)
                yield Done(reason="stop")
                return
        if not isinstance(request, self.answers):
            raise Unsupported(self.refusal)
        started = time.perf_counter_ns()
        job = Job(await self._tokenized(request))
        async with contextlib.aclosing(self._batch.run(job)) as events:
            async for event in events:
                yield event
        yield self._event(request, job.results)
        took = time.perf_counter_ns() - started
        yield Done(reason="stop", usage=Usage(prompt=job.tokens), timings=Timings(prompt=took))

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._batch.close()
        del self._batch, self._encoder
        gc.collect()
        empty_cache()

    async def _tokenized(self, request: Asked) -> list[Encoding]:
        texts = self._texts(request)
        tokens: list[Encoding] = []
        for start in range(0, len(texts), SLICE):
            some = texts[start : start + SLICE]
            tokens += await in_thread(self._thread, self._tokenize, request, some)
        return tokens
