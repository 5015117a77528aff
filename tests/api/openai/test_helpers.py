"""The helpers of OpenAI's client that ask and read on a program's behalf: parsed answers, tools, streams."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from inference.protocol import Called, Done, Generate, Text, Thought, ToolCall
from tests.api.openai.conftest import ABLE, Stage

HELLO: Any = [{"role": "user", "content": "Where?"}]
STOP = Done(reason="stop")


class Place(BaseModel):
    city: str


ANSWER = Place(city="Köln")
SAID = (Text(text='{"city":'), Text(text='"Köln"}'), STOP)
CALLED = (Called(call=ToolCall(name="Place", arguments={"city": "Köln"}, id="call_1")), STOP)
TOOL: Any = openai.pydantic_function_tool(Place)


def held_to(stage: Stage) -> Any:
    """The schema that the last answer was held to."""
    return json.loads(stage.asked(Generate).format)["properties"].keys()


def test_parsed_chats(stage: Stage) -> None:
    stage.plays(*SAID)
    ask: Any = {"model": ABLE, "messages": HELLO, "response_format": Place}
    assert stage.client.chat.completions.parse(**ask).choices[0].message.parsed == ANSWER
    assert held_to(stage) == {"city"}
    with stage.client.chat.completions.stream(**ask) as stream:
        said = [event.delta for event in stream if event.type == "content.delta"]
        assert stream.get_final_completion().choices[0].message.parsed == ANSWER
    assert "".join(said) == '{"city":"Köln"}'


def test_parsed_calls(stage: Stage) -> None:
    stage.plays(*CALLED)
    ask: Any = {"model": ABLE, "messages": HELLO, "tools": [TOOL]}
    whole = stage.client.chat.completions.parse(**ask)
    with stage.client.chat.completions.stream(**ask) as stream:
        assert "tool_calls.function.arguments.done" in [event.type for event in stream]
        streamed = stream.get_final_completion()
    for completion in (whole, streamed):
        (call,) = completion.choices[0].message.tool_calls or ()
        assert call.function.parsed_arguments == ANSWER
        assert completion.choices[0].finish_reason == "tool_calls"


def test_parsed_responses(stage: Stage) -> None:
    stage.plays(Thought(text="Hm"), *SAID)
    ask: Any = {"model": ABLE, "input": "Where?", "text_format": Place}
    assert stage.client.responses.parse(**ask).output_parsed == ANSWER
    assert held_to(stage) == {"city"}
    with stage.client.responses.stream(**ask) as stream:
        parsed = [event.parsed for event in stream if event.type == "response.output_text.done"]
        final = stream.get_final_response()
    assert (parsed, final.output_parsed, final.output[0].type) == ([ANSWER], ANSWER, "reasoning")


def test_a_streamed_response_is_not_gone_back_to(stage: Stage) -> None:
    """The client can name one to be streamed again; it is whole, and says so."""
    stage.plays(*SAID)
    answer = stage.client.responses.create(model=ABLE, input="Where?")
    with pytest.raises(openai.BadRequestError, match="cannot be streamed"):
        stage.client.responses.retrieve(answer.id, stream=True)


def test_the_clients_beta(stage: Stage) -> None:
    stage.plays(*SAID)
    answer: Any = stage.client.beta.responses.create(model=ABLE, input="Where?")
    assert answer.output[0].content[0].text == '{"city":"Köln"}'


def test_nothing_is_compacted_and_that_is_said(stage: Stage) -> None:
    with pytest.raises(openai.BadRequestError, match="truncation"):
        stage.client.responses.compact(model=ABLE, input="Where?")
