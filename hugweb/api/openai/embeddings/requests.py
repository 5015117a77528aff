"""``POST /v1/embeddings``: what its body may say, and the request that it is for us."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from hugweb.api.durations import keep_alive_seconds
from hugweb.api.fields import KeepAlive, one_or_several, told
from inference.errors import InvalidRequest
from inference.protocol import LARGEST, MAX_TEXTS, TokenId, TokenIds

GivenTokens = Annotated[list[TokenId], told(minItems=1)]


class EmbeddingBody(Struct, kw_only=True):
    """The body. ``input`` is a text, token ids of the model's own tokenizer, or a list of either."""

    model: str = ""
    input: str | Annotated[list[str | TokenId | GivenTokens], one_or_several(MAX_TEXTS)] | None = None
    encoding_format: Annotated[str, told(enum=["float", "base64"])] = "float"
    dimensions: Annotated[int, Meta(ge=1, le=LARGEST)] | None = None
    keep_alive: KeepAlive = None

    def inputs(self) -> list[str | TokenIds]:
        """Each thing to embed, one at least."""
        self._check_format()
        given = [self.input] if isinstance(self.input, str) else self.input or []
        numbers = [one for one in given if isinstance(one, int)]
        if not given or [] in given or len(numbers) not in {0, len(given)}:
            raise InvalidRequest("invalid input", param="input")
        if numbers:
            return [tuple(numbers)]
        if len(given) > MAX_TEXTS:
            raise InvalidRequest(
                f"{len(given)} texts are too many; at most {MAX_TEXTS} are taken.", param="input"
            )
        return [tuple(one) if isinstance(one, list) else str(one) for one in given]

    def seconds_to_stay(self) -> float | None:
        """``keep_alive`` in seconds."""
        return keep_alive_seconds(self.keep_alive)

    def _check_format(self) -> None:
        if self.encoding_format not in {"float", "base64"}:
            raise InvalidRequest(
                f"Invalid value for 'encoding_format' = {self.encoding_format}."
                " Supported values: ['float', 'base64'].",
                param="encoding_format",
            )
