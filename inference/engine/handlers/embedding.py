"""Embedding models: one vector of unit length for each text.

Sentence-transformers' layout and plain encoders, see ``inference.engine.sentences``. Texts of all
requests that wait are read together, see ``inference.engine.encoder_batch``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding

from inference.engine.config import EngineConfig
from inference.engine.encoder import Encoder, finite, load_encoder
from inference.engine.encoder_batch import Encoding
from inference.engine.handlers.encoding import EncodingHandler
from inference.engine.pooling import pooled
from inference.engine.sentences import Sentences, read_sentences
from inference.protocol import Embed, Embedded, Quantization, TokenIds

# Of these, the encoder alone makes vectors.
TWO_STACKS = frozenset({"t5", "mt5", "umt5", "t5gemma"})


def load(folder: Path, quantization: Quantization, config: EngineConfig) -> EmbeddingHandler:
    """The handler of the model in ``folder``. Blocks for as long as reading the weights takes."""
    sentences = read_sentences(folder)
    place = sentences.transformer
    kind = AutoConfig.from_pretrained(place, local_files_only=True, trust_remote_code=False).model_type
    encoder = load_encoder(
        AutoModelForTextEncoding if kind in TWO_STACKS else AutoModel,
        place,
        quantization,
        config,
        longest=sentences.longest,
        # On top of many encoders, for another task; nothing here reads it.
        optional="pooler",
    )
    return EmbeddingHandler(encoder, sentences, config)


class EmbeddingHandler(EncodingHandler[Embed, str | TokenIds]):
    """Makes vectors of texts."""

    answers = Embed
    refusal = "This model makes embeddings; it cannot do what was asked."

    def __init__(self, encoder: Encoder, sentences: Sentences, config: EngineConfig) -> None:
        super().__init__(encoder, config)
        self._sentences = sentences

    def _texts(self, request: Embed) -> Sequence[str | TokenIds]:
        return request.texts

    def _tokenize(self, request: Embed, texts: Sequence[str | TokenIds]) -> list[Encoding]:
        whole = [self._sentences.prompt + self._encoder.plain_text(text) for text in texts]
        if self._sentences.lower:
            whole = [text.lower() for text in whole]
        return self._encoder.encode(whole, truncate=request.truncate, most=request.num_ctx)

    @torch.inference_mode()
    def _results(self, texts: Sequence[Encoding]) -> Sequence[Tensor]:
        output, mask = self._encoder.run(texts)
        vectors = pooled(self._sentences.poolings, output.last_hidden_state, mask).cpu()
        for layer in self._sentences.layers:
            vectors = layer(vectors)
        return tuple(finite(vectors))

    def _event(self, request: Embed, results: Sequence[Tensor]) -> Embedded:
        if not results:
            return Embedded(vectors=b"", width=0)
        vectors = torch.stack(tuple(results))
        # Vectors that were trained to be cut (Kusupati et al., 2022) are of unit length only after it.
        vectors = functional.normalize(vectors[:, : request.dimensions or None], dim=-1)
        return Embedded(vectors=vectors.numpy().astype("<f4").tobytes(), width=vectors.shape[1])
