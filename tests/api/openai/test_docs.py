"""The table for users names every address and every field that is read."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hugweb.api.openai.audio.views import TranscriptionBody
from hugweb.api.openai.chat.requests import ChatBody
from hugweb.api.openai.completions.requests import CompletionBody
from hugweb.api.openai.embeddings.requests import EmbeddingBody
from hugweb.api.openai.images.requests import EditBody, ImageBody
from hugweb.api.openai.responses.requests import ResponseBody
from hugweb.api.openai.urls import urlpatterns

DOC = (Path(__file__).parents[3] / "docs" / "openai.md").read_text()


@pytest.mark.parametrize(
    "kind",
    [ChatBody, CompletionBody, EmbeddingBody, ImageBody, EditBody, ResponseBody, TranscriptionBody],
)
def test_every_field_is_in_the_table(kind: type[msgspec.Struct]) -> None:
    assert [name for name in kind.__struct_fields__ if f"`{name}`" not in DOC] == []


def test_every_address_is_in_the_table() -> None:
    paths = [
        str(pattern.pattern).replace("<path:name>", "{id}").replace("<str:id>", "{id}")
        for pattern in urlpatterns
    ]
    assert [path for path in paths if f"/v1/{path}" not in DOC] == []
