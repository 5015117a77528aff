"""docs/openai.md says of all that OpenAI's own client can send what becomes of it, and it does."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from openai.types.audio.transcription_create_params import TranscriptionCreateParamsStreaming
from openai.types.audio.translation_create_params import TranslationCreateParams
from openai.types.chat import ChatCompletionContentPartParam, ChatCompletionToolUnionParam
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming as ChatParams
from openai.types.completion_create_params import CompletionCreateParamsStreaming
from openai.types.embedding_create_params import EmbeddingCreateParams
from openai.types.image_create_variation_params import ImageCreateVariationParams
from openai.types.image_edit_params import ImageEditParamsStreaming
from openai.types.image_generate_params import ImageGenerateParamsStreaming
from openai.types.responses import ResponseInputContentParam, ResponseInputItemParam, ToolParam
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming

from hugweb.api.openai.audio.views import TranscriptionBody
from hugweb.api.openai.chat.requests import ChatBody
from hugweb.api.openai.completions.requests import CompletionBody
from hugweb.api.openai.embeddings.requests import EmbeddingBody
from hugweb.api.openai.images.requests import EditBody, ImageBody
from hugweb.api.openai.parts import Part, read_content
from hugweb.api.openai.responses.items import Item, read_items
from hugweb.api.openai.responses.requests import ResponseBody
from hugweb.api.openai.responses.tools import ResponseTool, read_response_tools
from hugweb.api.openai.tools import ToolSpec, read_tools
from inference.errors import InvalidRequest, Unsupported
from tests.api.openai.conftest import ABLE, Stage
from tests.api.tables import kinds, parameters, rows

PAGE = "openai.md"
HELLO = [{"role": "user", "content": "Hi"}]
ALL_TEXT = "For all text"
# What is sent for a parameter that is refused; anything but null for the others.
SENT: dict[str, Any] = {"background": True}
REFUSING = {
    "Chat completions": ("/v1/chat/completions", {"model": ABLE, "messages": HELLO}),
    "Responses": ("/v1/responses", {"model": ABLE, "input": "Hi"}),
}


@pytest.mark.parametrize(
    ("headings", "sent", "read"),
    [
        (("Chat completions", ALL_TEXT), ChatParams, ChatBody),
        (("Completions", ALL_TEXT), CompletionCreateParamsStreaming, CompletionBody),
        (("Responses", ALL_TEXT), ResponseCreateParamsStreaming, ResponseBody),
        (("Embeddings", ALL_TEXT), EmbeddingCreateParams, EmbeddingBody),
        (("Images",), ImageGenerateParamsStreaming, ImageBody),
        (("Images",), ImageEditParamsStreaming, EditBody),
        (("Images",), ImageCreateVariationParams, EditBody),
        (("Audio", ALL_TEXT), TranscriptionCreateParamsStreaming, TranscriptionBody),
        (("Audio", ALL_TEXT), TranslationCreateParams, TranscriptionBody),
    ],
)
def test_every_parameter_is_told_of(headings: tuple[str, ...], sent: Any, read: type[msgspec.Struct]) -> None:
    """Those that are ignored are read nowhere, and those that are read are not said to be ignored."""
    told = rows(PAGE, *headings)
    assert parameters(sent) - set(told) == set(), "missing from the table"
    files = {"image", "mask", "file"}
    ignored = {name for name in parameters(sent) if told[name].startswith("ignored")}
    assert parameters(sent) - ignored - files == parameters(sent) & set(read.__struct_fields__) - files


@pytest.mark.parametrize("heading", REFUSING)
def test_what_is_refused_is_refused_by_name(stage: Stage, heading: str) -> None:
    path, body = REFUSING[heading]
    refused = {name for name, told in rows(PAGE, heading, ALL_TEXT).items() if told.startswith("refused")}
    for name in refused - {"input_file"}:
        status, _, text = stage.post(path, body | {name: SENT.get(name, {"id": "x"})})
        assert (status, json.loads(text)["error"]["param"]) == (400, name)
    assert stage.engine.requests == []


def test_every_item_part_and_tool_is_told_of() -> None:
    items, tools = rows(PAGE, "Items of responses"), rows(PAGE, "Tools")
    assert kinds(ResponseInputItemParam) == set(items)
    assert kinds(ToolParam) | kinds(ChatCompletionToolUnionParam) == set(tools)
    parts = kinds(ChatCompletionContentPartParam) | {"input_file", "refusal"}
    assert parts - set(rows(PAGE, "Chat completions", "Responses")) == set()
    assert kinds(ResponseInputContentParam) == {"input_text", "input_image", "input_file"}


def test_items_and_tools_are_refused_as_it_is_told() -> None:
    for kind, told in rows(PAGE, "Items of responses").items():
        if told.startswith("refused"):
            with pytest.raises(Unsupported):
                read_items([], [Item(type=kind, role="user", content="Hi")])
    for kind, told in rows(PAGE, "Tools").items():
        refused = told.startswith("refused")
        asked = ResponseTool(type=kind, name="a", tools=[ToolSpec(name="b")])
        if refused:
            with pytest.raises(Unsupported):
                read_response_tools([asked], "auto")
        else:
            found = len(read_response_tools([asked], "auto").tools)
            assert found == (kind in {"function", "namespace"})
        if kind != "function":
            with pytest.raises(Unsupported):
                read_tools([ToolSpec(type=kind, name="a")], "auto")


@pytest.mark.parametrize("kind", kinds(ChatCompletionContentPartParam) | kinds(ResponseInputContentParam))
def test_every_part_is_read(kind: str) -> None:
    """Or refused for what is missing in it."""
    try:
        read_content([Part(type=kind, text="Hi")], "content")
    except InvalidRequest as error:
        assert error.param and error.param.split(".")[-1] != "type"
