"""``python -m inference.engine.convert GGUF_FILE OUT_FOLDER``: a GGUF file as a model folder.

The weights are written dequantized, as bfloat16 safetensors, with the tokenizer and its chat
template. Ends with 1 and a line on stderr for a file that cannot be converted.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

USAGE = "usage: python -m inference.engine.convert GGUF_FILE OUT_FOLDER"


def main(arguments: list[str]) -> None:
    if len(arguments) != 2:
        sys.exit(USAGE)
    logging.disable_progress_bar()
    try:
        convert(Path(arguments[0]), Path(arguments[1]))
    except (OSError, ValueError, LookupError, RuntimeError, struct.error) as error:
        sys.exit(f"{type(error).__name__}: {error}".replace("\n", " "))


def convert(source: Path, target: Path) -> None:
    """Write the model in ``source`` to the folder ``target``."""
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    if not tokenizer.chat_template:
        raise ValueError("the file holds no chat template.")
    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    _clean(model, tokenizer)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _clean(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Drop what tells of this machine and the file; add what only a Hub repository has."""
    vars(model.config).pop("_model_name_or_path", None)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    tokenizer.model_max_length = model.config.max_position_embeddings
    for leftover in ("is_local", "local_files_only"):
        tokenizer.init_kwargs.pop(leftover, None)


if __name__ == "__main__":
    main(sys.argv[1:])
