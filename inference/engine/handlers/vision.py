"""Models that see: chat with pictures, and with sounds where the model hears.

Prompts with pictures are read from the embeddings that the model makes of them; then their answers
are batched with everyone else's, see ``inference.engine.media`` and ``vision_forward``. Of a model
that also speaks (Qwen's Omni), only the part that reads and writes is loaded.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText

from inference.engine.config import EngineConfig
from inference.engine.handlers.text import TextHandler, longest_text
from inference.engine.hardware import choose_device, choose_dtype
from inference.engine.kernels.making import KERNELS
from inference.engine.processors import load_processor
from inference.engine.quantizer import quantized_loading
from inference.engine.rows import RowBuilder
from inference.engine.vision_choice import choose_vision
from inference.engine.vision_prompts import ChatProcessor, Processed, VisionPromptBuilder
from inference.engine.weights import count_parameters
from inference.protocol import Message, Quantization

# Two prompts to try a model with, of different length and with pictures of different shape.
TRIALS = (("What is in this picture?", (64, 48)), ("Describe it in a few words, please.", (40, 72)))


def load(folder: Path, quantization: Quantization, config: EngineConfig) -> TextHandler:
    """The handler of the model in ``folder``. Blocks for as long as reading the weights takes."""
    device = choose_device(config.device, count_parameters(folder))
    dtype = choose_dtype(config.precision, device)
    whole = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    described = getattr(whole, "thinker_config", whole)
    model = AutoModelForImageTextToText.from_pretrained(
        folder,
        config=described,
        dtype=dtype,
        device_map={"": device},
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        **quantized_loading(quantization, device, dtype, keep=lambda: towers(described)),
    ).eval()
    size = model.get_memory_footprint()
    chats = ChatProcessor(load_processor(folder))
    forward, perceive = choose_vision(
        model,
        [_trial(chats, text, shape) for text, shape in TRIALS],
        wanted=config.num_parallel,
        longest=longest_text(model, config),
        quantization=quantization,
        making=KERNELS,
    )
    prompts = VisionPromptBuilder(chats, model.config.get_text_config().vocab_size, perceive)
    rows = RowBuilder(prompts, chats.tokenizer, model.generation_config, forward.context)
    return TextHandler(forward, rows, model, size=size, max_queue=config.max_queue)


def towers(config: Any) -> list[str]:
    """The linear layers beside those of the language model: towers are small, and see worse with fewer
    bits."""
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    language = set(model.get_decoder().modules())
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module not in language
    ]


def _trial(chats: ChatProcessor, text: str, shape: tuple[int, int]) -> Processed:
    picture = io.BytesIO()
    Image.effect_noise(shape, 80).save(picture, "PNG")
    message = Message(role="user", content=text, images=(picture.getvalue(),))
    return chats.process((message,), (), None)
