"""Reranking models: cross-encoders, which read a query and a document together and give one score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from inference.engine.config import EngineConfig
from inference.engine.encoder import finite, load_encoder
from inference.engine.encoder_batch import Encoding
from inference.engine.handlers.encoding import EncodingHandler
from inference.protocol import Quantization, Ranked, Rerank


def load(folder: Path, quantization: Quantization, config: EngineConfig) -> RerankingHandler:
    """The handler of the model in ``folder``. Blocks for as long as reading the weights takes."""
    return RerankingHandler(
        load_encoder(AutoModelForSequenceClassification, folder, quantization, config), config
    )


class RerankingHandler(EncodingHandler[Rerank, str]):
    """Scores documents between 0 and 1."""

    answers = Rerank
    refusal = "This model ranks documents; it cannot do what was asked."

    def _texts(self, request: Rerank) -> Sequence[str]:
        return request.documents

    def _tokenize(self, request: Rerank, texts: Sequence[str]) -> list[Encoding]:
        return self._encoder.encode_pairs(request.query, texts)

    @torch.inference_mode()
    def _results(self, texts: Sequence[Encoding]) -> Sequence[Tensor]:
        output, _ = self._encoder.run(texts)
        return tuple(finite(output.logits[:, 0].float().sigmoid().cpu()))

    def _event(self, request: Rerank, results: Sequence[Tensor]) -> Ranked:
        return Ranked(scores=tuple(float(score) for score in results))
