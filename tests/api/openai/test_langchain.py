"""LangChain's OpenAI classes against a real server: what they send is taken, what they get is understood."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from inference.protocol import (
    Called,
    Done,
    Embed,
    Embedded,
    Event,
    Generate,
    Message,
    Request,
    Text,
    ToolCall,
    Usage,
)
from tests.api.openai.conftest import ABLE, MODEL, VECTORS, Stage

USAGE = Usage(prompt=5, completion=2)


@pytest.fixture
def chat(stage: Stage) -> Iterator[ChatOpenAI]:
    yield ChatOpenAI(model=ABLE, base_url=stage.base, api_key="-", max_retries=0)


def test_a_conversation(stage: Stage, chat: ChatOpenAI) -> None:
    stage.plays(Text(text="Yes", tokens=2), Done(reason="stop", usage=USAGE))
    answer = chat.invoke(
        [SystemMessage("Be brief."), HumanMessage("Is it?"), AIMessage("No."), HumanMessage("Sure?")]
    )
    assert answer.content == "Yes"
    assert answer.usage_metadata
    assert answer.usage_metadata["total_tokens"] == 7
    assert stage.asked(Generate).messages == (
        Message(role="system", content="Be brief."),
        Message(role="user", content="Is it?"),
        Message(role="assistant", content="No."),
        Message(role="user", content="Sure?"),
    )


def test_a_stream(stage: Stage, chat: ChatOpenAI) -> None:
    stage.plays(Text(text="Y"), Text(text="es"), Done(reason="stop", usage=USAGE))
    whole: Any = None
    for chunk in chat.stream("x", stream_usage=True):
        whole = chunk if whole is None else whole + chunk
    assert isinstance(whole, AIMessageChunk)
    assert whole.content == "Yes"
    assert whole.usage_metadata
    assert whole.usage_metadata["input_tokens"] == 5


async def test_asynchronously(stage: Stage, chat: ChatOpenAI) -> None:
    assert (await chat.ainvoke("one two")).content == "one two "
    assert "".join([str(chunk.content) async for chunk in chat.astream("one two")]) == "one two "


def test_tools_there_and_back(stage: Stage, chat: ChatOpenAI) -> None:
    class Weather(BaseModel):
        """The weather."""

        city: str

    stage.plays(
        Called(call=ToolCall(name="Weather", arguments={"city": "Köln"}, id="call_1")), Done(reason="stop")
    )
    answer = chat.bind_tools([Weather], tool_choice="any").invoke("Köln?")
    assert [(call["name"], call["args"], call["id"]) for call in answer.tool_calls] == [
        ("Weather", {"city": "Köln"}, "call_1")
    ]
    assert stage.asked(Generate).tool_choice == "required"
    chat.bind_tools([Weather]).invoke(
        [HumanMessage("Köln?"), answer, ToolMessage("Rain.", tool_call_id="call_1")]
    )
    assert stage.asked(Generate).messages[-1] == Message(
        role="tool", content="Rain.", tool_name="Weather", tool_call_id="call_1"
    )


def test_structured_answers(stage: Stage, chat: ChatOpenAI) -> None:
    class Answer(BaseModel):
        number: int

    stage.plays(Text(text='{"number":'), Text(text="42}"), Done(reason="stop"))
    assert chat.with_structured_output(Answer).invoke("x") == Answer(number=42)
    assert '"number"' in stage.asked(Generate).format


def test_the_responses_api(stage: Stage, chat: ChatOpenAI) -> None:
    stage.plays(Text(text="Y"), Text(text="es"), Done(reason="stop", usage=USAGE))
    model = ChatOpenAI(model=ABLE, base_url=stage.base, api_key="-", use_responses_api=True)
    assert model.invoke("x").text == "Yes"
    assert "".join(chunk.text for chunk in model.stream("x")) == "Yes"


def test_completions(stage: Stage) -> None:
    model = OpenAI(model=MODEL, base_url=stage.base, api_key="-", max_retries=0)
    assert model.invoke("one two") == "one two "
    assert "".join(model.stream("one two")) == "one two "
    assert [one[0].text for one in model.generate(["a", "b"]).generations] == ["a ", "b "]


def test_embeddings(stage: Stage) -> None:
    """Told to send text: by default it would send ids of OpenAI's tokenizer, not of the model's."""

    async def script(request: Request) -> AsyncIterator[Event]:
        assert isinstance(request, Embed)
        yield Embedded(vectors=struct.pack(f"<{len(request.texts)}f", *map(len, request.texts)), width=1)
        yield Done(reason="stop")

    stage.engine.script = script
    model = OpenAIEmbeddings(
        model=VECTORS, base_url=stage.base, api_key="-", check_embedding_ctx_length=False
    )
    assert model.embed_documents(["a", "bcd"]) == [[1.0], [3.0]]
