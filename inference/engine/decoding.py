"""One answer, token by token: read the prompt in chunks, then decode, sample, and turn into text.

The loop is a plain generator that yields the events of each step, so that whoever runs it can
leave between any two tokens. Sampling, text and stop strings live in modules of their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

from inference.engine.detokenize import Detokenizer
from inference.engine.sampler import Sampler
from inference.engine.stopping import StopStrings
from inference.protocol import Done, Event, Options, Reading, Reason, Text, Timings, Usage

# Long enough to keep the processor busy, short enough to leave a prompt soon after a cancel.
CHUNK = 512


@dataclass
class Decoding:
    """One request on one model.

    ``prompt`` are its token ids, ``limit`` the most tokens to generate, ``decode`` turns token ids
    into text.
    """

    model: Any
    prompt: list[int]
    options: Options
    limit: int
    ends: frozenset[int]
    decode: Callable[[list[int]], str]
    answer: list[int] = field(default_factory=list)
    cache: DynamicCache = field(init=False)

    def __post_init__(self) -> None:
        self.cache = DynamicCache(config=self.model.config)

    def run(self) -> Generator[list[Event], None, None]:
        """The events of each step; the last step's end with ``Done``."""
        started = time.perf_counter_ns()
        logits = yield from self._read()
        read = time.perf_counter_ns()
        reason = yield from self._write(logits)
        yield [
            Done(
                reason=reason,
                usage=Usage(prompt=len(self.prompt), completion=len(self.answer)),
                timings=Timings(prompt=read - started, completion=time.perf_counter_ns() - read),
                context=(*self.prompt, *self.answer),
            )
        ]

    def _read(self) -> Generator[list[Event], None, torch.Tensor]:
        """Put the prompt into the cache; the logits after its last token."""
        total = len(self.prompt)
        for start in range(0, total, CHUNK):
            yield [Reading(done=start, total=total)]
            logits = self._forward(self.prompt[start : start + CHUNK])
        return logits

    def _write(self, logits: torch.Tensor) -> Generator[list[Event], None, Reason]:
        """Generate until the model, a stop string or the limit ends it; the reason why."""
        sampler = Sampler(self.options)
        detokenizer = Detokenizer(self.decode)
        stops = StopStrings(self.options.stop or ())
        held = 0
        while len(self.answer) < self.limit:
            token = sampler.draw(logits)
            self.answer.append(token)
            held += 1
            if token in self.ends:
                yield _text(stops.flush(), held)
                return "stop"
            text = stops.push(detokenizer.push(token))
            yield _text(text, held)
            held = 0 if text else held
            if stops.found:
                return "stop"
            if len(self.answer) < self.limit:
                logits = self._forward([token])
        yield _text(stops.flush(), held)
        return "length"

    @torch.inference_mode()
    def _forward(self, tokens: list[int]) -> torch.Tensor:
        """Logits after the last of ``tokens``, which follow what the cache holds: ``[vocabulary]``."""
        ids = torch.tensor([tokens], device=self.model.device)
        output = self.model(input_ids=ids, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        logits: torch.Tensor = output.logits[0, -1]
        return logits


def _text(text: str, tokens: int) -> list[Event]:
    return [Text(text=text, tokens=tokens)] if text else []
