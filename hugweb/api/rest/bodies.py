"""The JSON of a request: strict, and bounded in depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import msgspec
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from hugweb.api.depth import DEEPEST, is_deep


class Json(BaseParser):
    """One JSON object."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        try:
            body = msgspec.json.decode(stream.read(), type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise ParseError(f"The request is malformed: {error}") from error
        if is_deep(body):
            raise ParseError(f"The request is nested too deeply: at most {DEEPEST} levels.")
        return body
