"""LangChain's client of Ollama's API."""

from __future__ import annotations

import json

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaEmbeddings

from inference.protocol import Called, Done, Embedded, Generate, Text, Thought, ToolCall, Usage
from tests.api.stage import Stage
from tests.serving import MODEL

STOP = Done(reason="stop", usage=Usage(prompt=5, completion=4))


@tool
def weather(city: str) -> str:
    """Tell the weather in a city."""
    return city


def chat(stage: Stage, model: str = MODEL, **more: object) -> ChatOllama:
    return ChatOllama(model=model, base_url=stage.server.url, **more)  # type: ignore[arg-type]


def test_chats_whole_and_streamed(stage: Stage) -> None:
    model = chat(stage, temperature=0, num_ctx=512, stop=["END"], keep_alive="90s", seed=1)
    answer = model.invoke("one two three")
    assert answer.content == "one two three "
    assert answer.usage_metadata == {"input_tokens": 3, "output_tokens": 3, "total_tokens": 6}
    assert "".join(str(chunk.content) for chunk in model.stream("one two")) == "one two "
    sent = stage.engine.requests[-1]
    assert isinstance(sent, Generate)
    assert (sent.options.num_ctx, sent.options.stop, sent.keep_alive) == (512, ("END",), 90)


async def test_chats_asynchronously(stage: Stage) -> None:
    answer = await chat(stage).ainvoke("one two three")
    assert answer.content == "one two three "


def test_tools_are_called_and_their_results_read(stage: Stage) -> None:
    stage.plays(Called(call=ToolCall(name="weather", arguments={"city": "Tokyo"}, id="call_1")), STOP)
    model = chat(stage, "test/tools").bind_tools([weather])
    asked = model.invoke("Weather?")
    assert isinstance(asked, AIMessage)
    (call,) = asked.tool_calls
    assert (call["name"], call["args"]) == ("weather", {"city": "Tokyo"})
    stage.plays(Text(text="22."), STOP)
    history = [HumanMessage("Weather?"), asked, ToolMessage("22", tool_call_id=call["id"], name="weather")]
    assert model.invoke(history).content == "22."
    sent = stage.engine.requests[-1]
    assert isinstance(sent, Generate)
    assert sent.messages[1].tool_calls[0].arguments == {"city": "Tokyo"}
    assert (sent.messages[2].role, sent.messages[2].tool_name) == ("tool", "weather")


def test_an_answer_is_held_to_a_schema(stage: Stage) -> None:
    stage.plays(Text(text='{"colour": "red"}'), STOP)
    schema = {
        "title": "Colour",
        "type": "object",
        "properties": {"colour": {"type": "string"}},
        "required": ["colour"],
    }
    model = chat(stage).with_structured_output(schema, method="json_schema")
    assert model.invoke("Which?") == {"colour": "red"}
    sent = stage.engine.requests[-1]
    assert isinstance(sent, Generate)
    assert json.loads(sent.format)["properties"] == schema["properties"]


def test_thoughts_are_kept_apart(stage: Stage) -> None:
    stage.plays(Thought(text="Hm."), Text(text="42"), STOP)
    answer = chat(stage, "test/thinker", reasoning=True).invoke("x")
    assert answer.content == "42"
    assert answer.additional_kwargs["reasoning_content"] == "Hm."


def test_embeds(stage: Stage) -> None:
    stage.plays(Embedded(vectors=b"\0\0\x80\x3f\0\0\0\0" * 2, width=2), Done(reason="stop"))
    embeddings = OllamaEmbeddings(model="test/embedder", base_url=stage.server.url)
    assert embeddings.embed_documents(["a", "b"]) == [[1.0, 0.0], [1.0, 0.0]]


def test_an_unknown_model_is_said(stage: Stage) -> None:
    with pytest.raises(Exception, match="model 'nope' not found"):
        chat(stage, "nope").invoke("x")
