"""What embedding and reranking share: an encoder's tokens, its passes, and how many tokens it takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer

from inference.engine.config import EngineConfig
from inference.engine.encoder_batch import Encoding, length
from inference.engine.failures import in_our_words
from inference.engine.hardware import choose_device, choose_dtype, device_name, dtype_name
from inference.engine.quantizer import quantized_loading, quantizer_of
from inference.engine.vocabulary import check_tokens, text_of, tokens_of, written
from inference.engine.weights import count_parameters, touch
from inference.errors import CannotLoad, ContextOverflow, InferenceError, LoadFailed
from inference.footprint.estimate import EXACT_PARAMETERS
from inference.protocol import Detokenize, Quantization, Text, Tokenize, Tokens

# No usual tokenizer makes longer tokens on average; what lies beyond need not be tokenized.
MOST_CHARACTERS_PER_TOKEN = 32
# Tokens of a text where nothing says how many the model was made for, and what stands for no limit.
USUAL_LENGTH = 512
UNLIMITED = 2**31


class Encoder:
    """A model that reads whole texts, with its tokenizer. ``longest`` is in tokens."""

    def __init__(self, model: Any, tokenizer: Any, longest: int) -> None:
        self._model = model.eval()
        self._tokenizer = tokenizer
        # A pass needs the final states only, never what a next token would need.
        model.config.use_cache = False
        model.config.pad_token_id = tokenizer.pad_token_id
        limits = [limit for limit in (longest, *_limits(model, tokenizer)) if limit and limit < UNLIMITED]
        self.longest = min(limits, default=USUAL_LENGTH)
        self.device = device_name(model.device)
        self.dtype = dtype_name(model.dtype)
        self.size: int = model.get_memory_footprint()
        self._vocabulary: int = model.config.get_text_config().vocab_size

    def encode(self, texts: Sequence[str], *, truncate: bool, most: int | None = None) -> list[Encoding]:
        """Tokens of each text, at least one, and of the model's ``longest`` at ``most`` so many;
        ``ContextOverflow`` for a longer one without ``truncate``."""
        longest = min(self.longest, most or self.longest)
        characters = longest * MOST_CHARACTERS_PER_TOKEN
        if not truncate and any(len(text) > characters for text in texts):
            raise _overflow(longest)
        cut = [text[:characters] for text in texts]
        return self._checked(self._tokenizer(cut, truncation=truncate, max_length=longest), longest)

    def encode_pairs(self, query: str, documents: Sequence[str]) -> list[Encoding]:
        """Tokens of ``query`` with each of ``documents``, which are cut where they are too long."""
        most = self.longest * MOST_CHARACTERS_PER_TOKEN
        # Half of the room is the documents' in any case.
        if 2 * len(self._tokenizer(query[:most])["input_ids"]) > self.longest:
            raise ContextOverflow(
                f"The query is longer than {self.longest // 2} tokens, half of what this model takes. "
                "Shorten it."
            )
        return self._checked(
            self._tokenizer(
                [query] * len(documents),
                [document[:most] for document in documents],
                truncation="only_second",
                max_length=self.longest,
            ),
            self.longest,
        )

    def tokens(self, request: Tokenize) -> Tokens:
        """The tokens of a text, without those that the model puts around it."""
        return tokens_of(self._tokenizer, request)

    def text(self, request: Detokenize) -> Text:
        """The text of tokens, special ones included."""
        return text_of(self._tokenizer, self._vocabulary, request)

    def plain_text(self, given: str | Sequence[int]) -> str:
        """``given``, or the text of its tokens, without those that the model puts around it."""
        if isinstance(given, str):
            return given
        check_tokens(given, self._vocabulary)
        return written(self._tokenizer, list(given), special=False)

    @torch.inference_mode()
    def run(self, texts: Sequence[Encoding]) -> tuple[Any, Tensor]:
        """The model's output for ``texts`` in one pass, and their mask ``[rows, tokens]``."""
        padded = self._tokenizer.pad(
            {name: [text[name] for text in texts] for name in texts[0]},
            padding_side="right",
            return_tensors="pt",
        ).to(self._model.device)
        with in_our_words():
            return self._model(**padded), padded["attention_mask"]

    def _checked(self, encoded: Any, longest: int) -> list[Encoding]:
        names = [name for name in self._tokenizer.model_input_names if name in encoded]
        texts = [
            dict(zip(names, values, strict=True))
            for values in zip(*(encoded[name] for name in names), strict=True)
        ]
        if any(length(text) > longest for text in texts):
            raise _overflow(longest)
        return [text if length(text) else self._empty(names) for text in texts]

    def _empty(self, names: Sequence[str]) -> Encoding:
        """An empty text, for a model whose tokenizer makes nothing of it."""
        values = {"input_ids": [self._tokenizer.pad_token_id or 0], "attention_mask": [1]}
        return {name: values.get(name, [0]) for name in names}


def load_encoder(
    auto_class: Any,
    folder: Path,
    quantization: Quantization,
    config: EngineConfig,
    *,
    longest: int = 0,
    optional: str = "",
) -> Encoder:
    """The encoder in ``folder``, as ``auto_class`` loads it. Blocks.

    It takes ``longest`` tokens at most (0: as many as the model). Weights with ``optional`` in their
    names may be missing; any other that is missing would be made up: ``LoadFailed``.
    """
    parameters = count_parameters(folder)
    device = choose_device(config.device, parameters)
    if quantization != "none" and quantizer_of(device) != "bitsandbytes":
        raise CannotLoad(f"Models of this kind cannot be loaded in {quantization} here. Load it as it is.")
    exact = config.precision == "auto" and device == "cpu" and parameters <= EXACT_PARAMETERS
    dtype = torch.float32 if exact else choose_dtype(config.precision, device)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    model, problems = auto_class.from_pretrained(
        folder,
        dtype=dtype,
        device_map={"": device},
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
        **quantized_loading(quantization, device, dtype),
    )
    if missing := [name for name in problems["missing_keys"] if not optional or optional not in name]:
        raise LoadFailed(
            f"The model's weights are incomplete ({len(missing)} are missing). Pull the model again."
        )
    touch(model)
    return Encoder(model, tokenizer, min(filter(None, (longest, config.context_length)), default=0))


def finite(numbers: Tensor) -> Tensor:
    """``numbers``; ``InferenceError`` if any of them is none, which no comparison would survive."""
    if not bool(numbers.isfinite().all()):
        raise InferenceError("The model's result is not a number. Try another precision.")
    return numbers


def _limits(model: Any, tokenizer: Any) -> tuple[int | None, ...]:
    """What the model and its tokenizer say about the longest text, where they say it."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    base = getattr(model, model.base_model_prefix, model)
    table = getattr(getattr(base, "embeddings", None), "position_embeddings", None)
    # RoBERTa and its like number positions from behind their padding token on.
    padding = getattr(table, "padding_idx", None)
    if positions and padding is not None:
        positions -= padding + 1
    return positions, tokenizer.model_max_length


def _overflow(longest: int) -> ContextOverflow:
    return ContextOverflow(
        f"The input is longer than the {longest} tokens that this model takes. "
        "Shorten it, split it, or ask for it to be truncated."
    )
