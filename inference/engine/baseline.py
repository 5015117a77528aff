"""``python -m inference.engine.baseline FOLDER PROMPT COUNT``: what ``model.generate`` alone achieves.

Prints JSON: tokens a second of decoding, and seconds to the first token, medians of three runs in a
bare process with the same weights, device, precision and number of threads as the engine's.
"""

from __future__ import annotations

import json
import sys
import time
from statistics import median
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.generation.streamers import BaseStreamer

from inference.engine.hardware import choose_device, choose_dtype

RUNS = 3


class Clock(BaseStreamer):
    """Notes when each token came; the first call brings the prompt."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value: Any) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        pass


def main(folder: str, prompt: str, count: int) -> None:
    device = choose_device("auto", 0)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=choose_dtype("auto", device), device_map={"": device}, local_files_only=True
    ).eval()
    inputs = tokenizer(prompt, return_tensors="pt").to(device)
    runs = [_run(model, inputs, count) for _ in range(RUNS + 1)][1:]
    result = {
        "tokens_per_second": median(speed for speed, _ in runs),
        "first_token_seconds": median(first for _, first in runs),
    }
    print(json.dumps(result))  # noqa: T201


@torch.inference_mode()
def _run(model: Any, inputs: Any, count: int) -> tuple[float, float]:
    clock = Clock()
    started = time.perf_counter()
    model.generate(**inputs, do_sample=False, min_new_tokens=count, max_new_tokens=count, streamer=clock)
    first, last = clock.times[1], clock.times[-1]
    return (len(clock.times) - 2) / (last - first), first - started


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
