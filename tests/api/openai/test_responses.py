"""Responses over a real server, driven by OpenAI's client."""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.responses.response_item_list import ResponseItemList

from inference.errors import Busy, InferenceError
from inference.protocol import (
    Called,
    Done,
    Failed,
    Generate,
    Logprob,
    Message,
    Rendered,
    Text,
    Thought,
    Tool,
    ToolCall,
    Usage,
)
from tests.api.openai.conftest import ABLE, ALIAS, MODEL, Stage

PNG = b"\x89PNG\r\n\x1a\n"
PNG_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": True,
}
CALLED = Called(call=ToolCall(name="weather", arguments={"city": "Köln"}, id="call_1"))


def test_an_answer_in_one_piece(stage: Stage) -> None:
    answer = stage.client.responses.create(model=MODEL, input="one two", instructions="Be brief.")
    assert answer.id.startswith("resp_")
    assert (answer.object, answer.model, answer.status) == ("response", MODEL, "completed")
    assert (answer.output_text, answer.instructions, answer.error) == ("one two ", "Be brief.", None)
    (message,) = answer.output
    assert (message.type, message.role, message.status) == ("message", "assistant", "completed")
    assert answer.usage
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (2, 2, 4)
    asked = stage.asked(Generate)
    assert asked.messages == (
        Message(role="system", content="Be brief."),
        Message(role="user", content="one two"),
    )
    assert asked.truncate is False


def test_a_stream_has_its_events_in_order(stage: Stage) -> None:
    usage = Usage(prompt=9, cached=4, completion=6)
    stage.plays(
        Thought(text="Hm", tokens=2),
        Thought(text="…"),
        Text(text="Y"),
        Text(text="es"),
        CALLED,
        Done(reason="stop", usage=usage),
    )
    events = list(stage.client.responses.create(model=ABLE, input="x", stream=True, tools=[WEATHER]))
    assert [event.type.removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    begun: Any = [event.item for event in events if event.type == "response.output_item.added"]
    ended: Any = [event.item for event in events if event.type == "response.output_item.done"]
    assert [item.id for item in begun] == [item.id for item in ended]
    assert [item.status for item in begun] == ["in_progress"] * 3
    assert (begun[0].summary, begun[1].content, begun[2].arguments) == ([], [], "")
    last: Any = events[-1]
    assert [item.to_dict() for item in last.response.output] == [item.to_dict() for item in ended]
    assert (ended[0].summary[0].text, ended[1].content[0].text) == ("Hm…", "Yes")
    assert (ended[2].name, ended[2].call_id, json.loads(ended[2].arguments)) == (
        "weather",
        "call_1",
        {"city": "Köln"},
    )
    assert last.response.status == "completed"
    assert last.response.usage.input_tokens_details.cached_tokens == 4
    assert last.response.usage.output_tokens_details.reasoning_tokens == 3


def test_the_wire_names_each_event(stage: Stage) -> None:
    status, _, text = stage.post("/v1/responses", {"model": MODEL, "input": "one", "stream": True})
    assert status == 200
    for block in text.decode().strip().split("\n\n"):
        name, data = block.split("\n")
        assert name.removeprefix("event: ") == json.loads(data.removeprefix("data: "))["type"]


def test_the_clients_own_collector_takes_the_stream(stage: Stage) -> None:
    stage.plays(Text(text="Y"), Text(text="es"), CALLED, Done(reason="stop"))
    with stage.client.responses.stream(model=ABLE, input="x", tools=[WEATHER]) as stream:
        said = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert said == ["Y", "es"]
    assert final.output_text == "Yes"
    assert final.output[1].type == "function_call"


async def test_the_asynchronous_client(stage: Stage) -> None:
    async with openai.AsyncOpenAI(base_url=stage.base, api_key="-", max_retries=0) as client:
        answer = await client.responses.create(model=MODEL, input="one")
        assert answer.output_text == "one "
        stream = await client.responses.create(model=MODEL, input="one", stream=True)
        assert [event.type async for event in stream][-1] == "response.completed"


def test_an_answer_that_is_cut_says_so(stage: Stage) -> None:
    stage.plays(Text(text="Yes"), Done(reason="length"))
    answer = stage.client.responses.create(model=MODEL, input="x", max_output_tokens=1)
    assert answer.status == "incomplete"
    assert answer.incomplete_details
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert answer.output[0].status == "incomplete"
    assert stage.asked(Generate).options.num_predict == 1
    events = list(stage.client.responses.create(model=MODEL, input="x", stream=True))
    assert events[-1].type == "response.incomplete"


def test_an_empty_answer_is_a_message_with_nothing_in_it(stage: Stage) -> None:
    stage.plays(Done(reason="stop"))
    answer = stage.client.responses.create(model=MODEL, input="x")
    assert (answer.output_text, [item.type for item in answer.output]) == ("", ["message"])


def test_every_kind_of_item_becomes_messages(stage: Stage) -> None:
    call = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Köln"}'}
    stage.client.responses.create(
        model=ABLE,
        instructions="Be brief.",
        tools=[WEATHER],
        input=[
            {"role": "developer", "content": "Be kind."},
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Köln?"},
                    {"type": "input_image", "image_url": PNG_URL, "detail": "auto"},
                ],
            },
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
            },
            call,
            {"type": "function_call_output", "call_id": "call_1", "output": "Rain."},
            {"role": "user", "content": "Thanks."},
        ],
    )
    assert stage.asked(Generate).messages == (
        Message(role="system", content="Be brief.\n\nBe kind."),
        Message(role="user", content="Köln?", images=(PNG,)),
        Message(
            role="assistant",
            content="I look.",
            thinking="Hm.",
            tool_calls=(ToolCall(name="weather", arguments={"city": "Köln"}, id="call_1"),),
        ),
        Message(role="tool", content="Rain.", tool_call_id="call_1", tool_name="weather"),
        Message(role="user", content="Thanks."),
    )


def test_options_tools_and_formats_reach_the_engine_and_are_told_back(stage: Stage) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    answer = stage.client.responses.create(
        model=ABLE,
        input="x",
        temperature=0.5,
        top_p=0.9,
        tools=[WEATHER],
        tool_choice={"type": "function", "name": "weather"},
        parallel_tool_calls=False,
        reasoning={"effort": "high", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True}},
        truncation="auto",
        metadata={"a": "b"},
        include=["reasoning.encrypted_content"],
        extra_body={"keep_alive": 0, "options": {"num_ctx": 99}},
    )
    asked = stage.asked(Generate)
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    assert asked.tools == (Tool(name="weather", description="The weather.", parameters=parameters),)
    assert (asked.tool_choice, asked.tool_name, asked.parallel_tool_calls) == ("required", "weather", False)
    assert (asked.options.temperature, asked.options.top_p, asked.options.num_ctx) == (0.5, 0.9, 99)
    assert (asked.think, json.loads(asked.format), asked.truncate) == ("high", schema, True)
    assert asked.keep_alive == 0
    assert (answer.temperature, answer.top_p, answer.metadata) == (0.5, 0.9, {"a": "b"})
    assert (answer.tools[0].type, answer.parallel_tool_calls) == ("function", False)
    assert answer.reasoning
    assert answer.reasoning.effort == "high"


def test_functions_of_a_namespace_are_called_with_it(stage: Stage) -> None:
    """As Codex sends them; two namespaces may have functions of one name."""
    spaces: list[Any] = [
        {"type": "namespace", "name": name, "description": f"The {name}.", "tools": [WEATHER]}
        for name in ("past", "future")
    ]
    call = ToolCall(name="past.weather", arguments={"city": "Köln"}, id="call_1")
    stage.plays(Called(call=call), Done(reason="stop"))
    answer = stage.client.responses.create(model=ABLE, input="Köln?", tools=[WEATHER, *spaces])
    asked = stage.asked(Generate)
    assert [tool.name for tool in asked.tools] == ["weather", "past.weather", "future.weather"]
    assert asked.tools[1].description == "The past.\nThe weather."
    (item,) = answer.output
    assert item.type == "function_call"
    assert (item.namespace, item.name, item.call_id) == ("past", "weather", "call_1")
    output: Any = {"type": "function_call_output", "call_id": "call_1", "output": "Rain."}
    given: Any = [item.to_dict(), output]
    stage.client.responses.create(model=ABLE, input=given, tools=spaces)
    called, result = stage.asked(Generate).messages
    assert (called.tool_calls, result.tool_name) == ((call,), "past.weather")
    stage.client.responses.create(model=ABLE, input=[output], previous_response_id=answer.id)
    assert stage.asked(Generate).messages[1].tool_calls == (call,)


def test_what_says_nothing_of_the_answer_is_told_back(stage: Stage) -> None:
    given: Any = {"max_tool_calls": 3, "prompt_cache_key": "k", "safety_identifier": "s", "user": "u"}
    answer = stage.client.responses.create(model=MODEL, input="Hi", service_tier="flex", **given)
    told = answer.to_dict()
    assert {name: told[name] for name in given} == given
    assert answer.service_tier == "default"


def test_a_function_that_is_named_is_called_once(stage: Stage) -> None:
    """A small model would go on and call it again, until it is cut."""
    for choice, parallel in (("required", True), ({"type": "function", "name": "weather"}, False)):
        stage.client.responses.create(model=ABLE, input="x", tools=[WEATHER], tool_choice=choice)  # type: ignore[call-overload]
        assert stage.asked(Generate).parallel_tool_calls is parallel


def test_a_search_of_the_web_is_left_out_and_said_so(stage: Stage) -> None:
    """Codex offers one in every request, also to models without tools."""
    for kind in ("web_search", "web_search_2025_08_26", "web_search_preview_2025_03_11"):
        search: Any = {"type": kind, "external_web_access": False}
        raw = stage.client.responses.with_raw_response.create(model=MODEL, input="one", tools=[search])
        assert raw.parse().output_text == "one "
        assert raw.headers["x-hugweb-note"] == "web_search is not here: the model answers without it"
        assert stage.asked(Generate).tools == ()


def test_logprobs(stage: Stage) -> None:
    one = Logprob(token=1, text="Y", raw=b"Y", logprob=-0.5)
    stage.plays(Text(text="Y", logprobs=(one,)), Done(reason="stop"))
    answer: Any = stage.client.responses.create(
        model=MODEL, input="x", top_logprobs=2, include=["message.output_text.logprobs"]
    )
    assert answer.output[0].content[0].logprobs[0].logprob == -0.5
    assert stage.asked(Generate).logprobs == 2


def test_a_thread_goes_on_from_what_is_kept(stage: Stage) -> None:
    stage.plays(Thought(text="Hm"), CALLED, Done(reason="stop"))
    first = stage.client.responses.create(
        model=ABLE, input="Köln?", tools=[WEATHER], instructions="Gone later."
    )
    stage.plays(Text(text="It rains."), Done(reason="stop"))
    output: Any = [{"type": "function_call_output", "call_id": "call_1", "output": "Rain."}]
    events = list(
        stage.client.responses.create(
            model=ABLE, input=output, previous_response_id=first.id, tools=[WEATHER], stream=True
        )
    )
    second: Any = events[-1]
    stage.client.responses.create(model=ABLE, input="And now?", previous_response_id=second.response.id)
    assert stage.asked(Generate).messages == (
        Message(role="user", content="Köln?"),
        Message(
            role="assistant",
            thinking="Hm",
            tool_calls=(ToolCall(name="weather", arguments={"city": "Köln"}, id="call_1"),),
        ),
        Message(role="tool", content="Rain.", tool_call_id="call_1", tool_name="weather"),
        Message(role="assistant", content="It rains."),
        Message(role="user", content="And now?"),
    )
    fork = stage.client.responses.create(model=ABLE, input="Other.", previous_response_id=first.id)
    assert [message.content for message in stage.asked(Generate).messages] == ["Köln?", "", "Other."]
    stage.client.responses.delete(first.id)
    with pytest.raises(openai.BadRequestError) as error:
        stage.client.responses.create(model=ABLE, input="x", previous_response_id=fork.id)
    assert error.value.param == "previous_response_id"


def test_an_answer_that_was_cut_goes_on_without_another_word(stage: Stage) -> None:
    """The last thing said is the model's, which the engine goes on with."""
    stage.plays(Text(text="One, "), Done(reason="length"))
    cut = stage.client.responses.create(model=ABLE, input="Count.", max_output_tokens=2)
    said = [Message(role="user", content="Count."), Message(role="assistant", content="One, ")]
    stage.plays(Text(text="two, "), Done(reason="length"))
    nothings: tuple[dict[str, Any], ...] = ({}, {"input": None}, {"input": ""}, {"input": []})
    for nothing in nothings:
        status, _, text = stage.post(
            "/v1/responses", {"model": ABLE, "previous_response_id": cut.id, **nothing}
        )
        assert status == 200
        assert list(stage.asked(Generate).messages) == said
        status, _, refused = stage.post("/v1/responses", {"model": ABLE, **nothing})
        error = json.loads(refused)["error"]
        assert (status, error["param"]) == (400, "input")
        assert "previous_response_id" in error["message"]
    more = json.loads(text)["id"]
    stage.client.responses.create(model=ABLE, previous_response_id=more)
    assert list(stage.asked(Generate).messages) == [
        *said[:1],
        Message(role="assistant", content="One, two, "),
    ]
    assert stage.client.responses.input_items.list(more).data == []


def test_items_are_named_instead_of_told(stage: Stage) -> None:
    stage.plays(Thought(text="Hm"), Text(text="Ho"), Done(reason="stop"))
    first = stage.client.responses.create(model=ABLE, input="Hi")
    (question,) = stage.client.responses.input_items.list(first.id).data
    thought, said = first.output
    # A type may be left out, as AI SDK's clients do not and OpenAI's may.
    named: Any = [
        {"type": "item_reference", "id": question.id},
        {"id": thought.id},
        {"type": "item_reference", "id": said.id, "content": None},
        {"role": "user", "content": "And?"},
    ]
    second = stage.client.responses.create(model=ABLE, input=named)
    expected = (
        Message(role="user", content="Hi"),
        Message(role="assistant", content="Ho", thinking="Hm"),
        Message(role="user", content="And?"),
    )
    assert stage.asked(Generate).messages == expected
    listed = stage.client.responses.input_items.list(second.id, order="asc").data
    assert [item.id for item in listed[:3]] == [question.id, thought.id, said.id]
    # What the thread has already is not told twice; and what was named stays when the first is gone.
    stage.client.responses.create(model=ABLE, input=named[3:] + named[:1], previous_response_id=first.id)
    assert stage.asked(Generate).messages == expected
    stage.client.responses.delete(first.id)
    stage.client.responses.create(model=ABLE, input="So?", previous_response_id=second.id)
    assert stage.asked(Generate).messages[:3] == expected


def test_an_item_that_is_named_is_there_once(stage: Stage) -> None:
    answer = stage.client.responses.create(model=MODEL, input="Hi", store=False)
    lost: Any = [{"type": "item_reference", "id": answer.output[0].id}]
    with pytest.raises(openai.NotFoundError, match="not stored") as error:
        stage.client.responses.create(model=MODEL, input=lost)
    assert error.value.param == "input[0].id"
    with pytest.raises(openai.BadRequestError, match="twice"):
        stage.client.responses.input_tokens.count(model=MODEL, input=lost * 2)


def test_a_response_can_be_read_and_forgotten(stage: Stage) -> None:
    answer = stage.client.responses.create(model=MODEL, input="one\x00two")
    read = stage.client.responses.retrieve(answer.id)
    assert read.to_dict() == answer.to_dict()
    items: Any = stage.client.responses.input_items.list(answer.id)
    assert [(item.role, item.content[0].text) for item in items] == [("user", "one\x00two")]
    stage.client.responses.delete(answer.id)
    for again in (stage.client.responses.retrieve, stage.client.responses.delete):
        with pytest.raises(openai.NotFoundError):
            again(answer.id)


def test_what_nobody_reads_of_an_item_is_not_kept(stage: Stage) -> None:
    said: Any = [{"role": "user", "content": "Hi", "status": "completed", "ballast": "x" * 1000}]
    answer = stage.client.responses.create(model=MODEL, input=said)
    items: Any = stage.client.responses.input_items.list(answer.id)
    assert items.data[0].to_dict().keys() == {"type", "id", "role", "content", "status"}


def test_items_are_listed_as_the_client_knows_them(stage: Stage) -> None:
    call = {"call_id": "call_1", "name": "weather", "arguments": "{}"}
    said: Any = [
        "Hi",
        [
            {"role": "user", "content": "Hi", "id": None},
            {"role": "assistant", "content": "Ho"},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}], "content": None},
            {"type": "function_call", "id": "fc_mine", **call},
            {"type": "function_call_output", "call_id": "call_1", "output": "Rain."},
        ],
    ]
    for given in said:
        answer = stage.client.responses.create(model=ABLE, input=given)
        _, _, text = stage.request("GET", f"/v1/responses/{answer.id}/input_items?order=asc")
        listed = ResponseItemList.model_validate_json(text, strict=True)
        assert listed.data[0].content[0].text == "Hi"  # type: ignore[union-attr]
    kinds = [(item.type, item.id.partition("_")[0]) for item in listed.data]
    assert kinds == [
        ("message", "msg"),
        ("message", "msg"),
        ("reasoning", "rs"),
        ("function_call", "fc"),
        ("function_call_output", "fco"),
    ]
    assert listed.data[3].id == "fc_mine"


def test_nothing_is_made_in_the_background(stage: Stage) -> None:
    answer = stage.client.responses.create(model=MODEL, input="one")
    with pytest.raises(openai.BadRequestError, match="in the background") as error:
        stage.client.responses.cancel(answer.id)
    assert error.value.code == "unsupported_value"
    with pytest.raises(openai.NotFoundError):
        stage.client.responses.cancel("resp_nope")
    with pytest.raises(openai.BadRequestError) as error:
        stage.client.responses.retrieve(answer.id, stream=True)
    assert error.value.param == "stream"


def test_what_a_tool_saw_and_heard_reaches_the_engine(stage: Stage) -> None:
    wav = b"RIFF\x00\x00\x00\x00WAVE"
    output = [
        {"type": "input_image", "image_url": PNG_URL, "detail": "auto"},
        {"type": "input_audio", "input_audio": {"data": base64.b64encode(wav).decode(), "format": "wav"}},
    ]
    said: Any = [
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": output},
    ]
    stage.client.responses.create(model=ABLE, input=said)
    result = stage.asked(Generate).messages[-1]
    assert (result.role, result.images, result.audios) == ("tool", (PNG,), (wav,))


def test_items_are_listed_in_pages(stage: Stage) -> None:
    said: Any = [{"role": "user", "content": str(number)} for number in range(5)]
    answer = stage.client.responses.create(model=MODEL, input=said)
    items: Any = stage.client.responses.input_items.list(answer.id, limit=2, order="asc")
    assert [item.content[0].text for item in items] == ["0", "1", "2", "3", "4"]
    newest: Any = stage.client.responses.input_items.list(answer.id, limit=2)
    assert [item.content[0].text for item in newest.data] == ["4", "3"]
    with pytest.raises(openai.BadRequestError):
        stage.client.responses.input_items.list(answer.id, limit=0)
    with pytest.raises(openai.BadRequestError):
        stage.client.responses.input_items.list(answer.id, order="up")  # type: ignore[arg-type]


def test_what_is_not_to_be_kept_is_not(stage: Stage) -> None:
    answer = stage.client.responses.create(model=MODEL, input="one", store=False)
    with pytest.raises(openai.NotFoundError):
        stage.client.responses.retrieve(answer.id)


def test_tokens_are_counted_before_they_are_read(stage: Stage) -> None:
    stage.plays(Rendered(text="…", tokens=42), Done(reason="stop"))
    counted = stage.client.responses.input_tokens.count(
        model=MODEL, input="one two", instructions="Be brief."
    )
    assert counted.input_tokens == 42
    asked = stage.asked(Generate)
    assert asked.render_only
    assert [message.content for message in asked.messages] == ["Be brief.", "one two"]


def test_an_alias_speaks_first(stage: Stage) -> None:
    stage.client.responses.create(model=ALIAS, input="x")
    assert stage.asked(Generate).messages[0] == Message(role="system", content="Be brief.")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"input": 1}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input[0].role"),
        ({"input": [{"content": "x"}]}, "input[0].role"),
        ({"input": [{"type": "web_search_call"}]}, "input[0].type"),
        ({"input": [{"type": ["message"]}]}, "input[0].type"),
        ({"input": [{"role": "user", "content": "x", "id": 5}]}, "input[0].id"),
        ({"input": [{"role": "user", "content": "x", "status": "odd"}]}, "input[0].status"),
        (
            {
                "input": [
                    {"role": "user", "content": "x", "output": [{"type": "input_audio", "input_audio": {}}]}
                ]
            },
            "input[0].output[0].input_audio.data",
        ),
        (
            {"input": [{"role": "assistant", "content": [{"type": "input_image", "image_url": PNG_URL}]}]},
            "input[0].content",
        ),
        (
            {"input": [{"type": "reasoning", "summary": [{"type": "summary_text"}]}]},
            "input[0].summary[0].text",
        ),
        ({"input": [{"type": "item_reference", "id": 1}]}, "input[0].id"),
        ({"input": [{"type": "file_search_call", "id": "fs_1"}]}, "input[0].type"),
        ({"input": [{"type": "function_call", "name": "a", "arguments": "x"}]}, "input[0].arguments"),
        ({"input": [{"type": "function_call", "arguments": "{}"}]}, "input[0].name"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
            "input[0].content[0].file_data",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://a.b"}]}]},
            "input[0].content[0].file_url",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].image_url",
        ),
        ({"input": [{"role": "user", "content": "x"}] * 1001}, "input"),
        ({"previous_response_id": "resp_nope"}, "previous_response_id"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"moderation": {"model": "omni-moderation-latest"}}, "moderation"),
        ({"max_tool_calls": 0}, "max_tool_calls"),
        ({"truncation": "some"}, "truncation"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"tools": [{"type": "file_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "web_search\r\nX-Other: 1"}]}, "tools[0].type"),
        ({"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, "tool_choice"),
        ({"tools": [{"type": "namespace", "tools": []}]}, "tools[0].name"),
        ({"tools": [{"type": "namespace", "name": "a"}]}, "tools[0].tools"),
        ({"tools": [{"type": "namespace", "name": "a", "tools": [{}]}]}, "tools[0].tools[0].name"),
        ({"tools": [{"type": "namespace", "name": "a" * 128, "tools": [{"name": "b"}]}]}, "tools[0].name"),
        (
            {"tools": [{"type": "namespace", "name": "a", "tools": [{"name": "b" * 128}]}]},
            "tools[0].tools[0].name",
        ),
        (
            {"tools": [{"type": "namespace", "name": "a", "tools": [{"type": "custom", "name": "b"}]}]},
            "tools[0].tools[0].type",
        ),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "name": "clock"}}, "tool_choice"),
        ({"temperature": 1000}, "temperature"),
    ],
)
def test_what_is_wrong_is_a_400_that_names_the_field(stage: Stage, body: Any, param: str) -> None:
    status, _, text = stage.post("/v1/responses", {"model": ABLE, "input": "x", **body})
    error = json.loads(text)["error"]
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert stage.engine.requests == []


@pytest.fixture
def full(stage: Stage) -> Iterator[None]:
    """A database that takes no more responses."""
    with contextlib.closing(sqlite3.connect(stage.server.home / "db.sqlite3", timeout=30)) as database:
        database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON stored_responses_storedresponse"
            " BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
        yield
        database.execute("DROP TRIGGER full")


@pytest.mark.usefixtures("full")
def test_a_response_that_cannot_be_kept_fails_in_its_own_form(stage: Stage) -> None:
    with pytest.raises(openai.InternalServerError, match="The database does not answer") as refused:
        stage.client.responses.create(model=MODEL, input="one two")
    assert refused.value.status_code == 503
    seen: list[Any] = []
    with pytest.raises(openai.APIError, match="The database does not answer"):
        for event in stage.client.responses.create(model=MODEL, input="one two", stream=True):
            seen.append(event)
    assert seen[-1].type == "response.failed"
    (message,) = seen[-1].response.output
    assert message.content[0].text == "one two "
    assert stage.client.responses.create(model=MODEL, input="one two", store=False).status == "completed"


def test_errors_before_the_first_text_and_in_mid_stream(stage: Stage) -> None:
    stage.plays(Failed.of(Busy()))
    with pytest.raises(openai.InternalServerError) as refused:
        stage.client.responses.create(model=MODEL, input="x", stream=True)
    assert refused.value.status_code == 503
    stage.plays(Text(text="one "), Failed.of(InferenceError("It broke.")))
    seen: list[Any] = []
    with pytest.raises(openai.APIError, match=r"^It broke\.$"):
        for event in stage.client.responses.create(model=MODEL, input="x", stream=True):
            seen.append(event)
    assert (seen[-1].type, seen[-1].response.status) == ("response.failed", "failed")
    assert seen[-1].response.error.message == "It broke."
    (message,) = seen[-1].response.output
    assert (message.status, message.content[0].text) == ("incomplete", "one ")
    with pytest.raises(openai.NotFoundError):
        stage.client.responses.retrieve(seen[0].response.id)
