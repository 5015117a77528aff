"""A real engine for tests: ``python -m inference.engine`` as a process, and models that weigh something."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args
from uuid import uuid4

import psutil
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedConfig, PreTrainedModel

from inference.client import EngineClient
from inference.errors import LoadFailed
from inference.protocol import Event, Load, Loaded, ModelRef, Quantization, Unload
from tests.kernels import engine_cache
from tests.serving import PROJECT
from tests.tiny import tiny_tokenizer


class EngineProcess:
    """An engine of its own between entering and leaving; ``settings`` are its configuration's."""

    def __init__(self, address: Path, models_root: Path, **settings: object) -> None:
        cache = str(engine_cache())
        self.config = {"address": str(address), "model_roots": [str(models_root)], "cache": cache, **settings}
        self.client = EngineClient(str(address), patience=30.0, silence=60.0)

    def __enter__(self) -> EngineProcess:
        # Not waited for: the client is patient.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "inference.engine"],
            env={**os.environ, "HUGWEB_ENGINE_CONFIG": json.dumps(self.config)},
            stdin=subprocess.PIPE,
            cwd=PROJECT,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin
        self.process.stdin.close()

    async def load(self, folder: Path, quantization: Quantization = "none", *, force: bool = False) -> int:
        """Load a model; the bytes that it was measured to take, 0 if it was there already."""
        request = Load(model=ref(folder, quantization), keep_alive=-1.0, force=force)
        events: list[Event] = [event async for event in self.client.stream(request)]
        return next((event.memory for event in events if isinstance(event, Loaded)), 0)

    async def unload(self, *folders: Path) -> None:
        """Let models go, and wait until their memory has been given back."""
        for folder in folders:
            for quantization in get_args(Quantization):
                async for _ in self.client.stream(Unload(model=ref(folder, quantization))):
                    pass
        # Loads come after unloads, also one of nothing.
        with pytest.raises(LoadFailed):
            await self.load(Path(f"/nowhere/{uuid4()}"))

    async def names(self) -> list[str]:
        """What is loaded."""
        return [model.name for model in (await self.client.status()).models]

    def memory(self) -> int:
        """Bytes that the process holds."""
        return int(psutil.Process(self.process.pid).memory_info().rss)


def assert_near(estimated: int, measured: int) -> None:
    """An estimate is right. A model may lie in what the heap has kept of earlier ones, and then less of it is
    measured than it takes: more room is above than below."""
    assert 0.85 * measured < estimated < 1.3 * measured


def ref(folder: Path, quantization: Quantization = "none") -> ModelRef:
    return ModelRef(name=folder.name, path=str(folder), quantization=quantization)


def make_llama(folder: Path, layers: int, *, hidden: int = 1024, tied: bool = False) -> Path:
    """A Llama of about 26 MB for each layer (of 1024 numbers), in bfloat16, with random weights."""
    tokenizer = tiny_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden * 11 // 4,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 256,
        max_position_embeddings=4096,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=tied,
    )
    save_random(LlamaForCausalLM, config, folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_random(kind: type[PreTrainedModel], config: PreTrainedConfig, folder: Path) -> Path:
    """A model of this kind in ``folder``, its weights random, in bfloat16."""
    torch.manual_seed(0)
    with torch.device("meta"):
        model = kind(config)
    model = model.to(torch.bfloat16).to_empty(device="cpu")
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.02)
    model.tie_weights()
    model.save_pretrained(folder)
    return folder
