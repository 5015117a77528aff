"""However an answer comes, its stream says what it says in one piece, in every dialect."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from hugweb.api.anthropic.frames import MessageFrames
from hugweb.api.generation import Content, Folded, fold
from hugweb.api.ollama.frames import ChatFrames, GenerateFrames
from hugweb.api.openai.chat import frames as chat
from hugweb.api.openai.completions import frames as completions
from hugweb.api.openai.responses.events import ResponseEvents
from inference.protocol import Called, Done, Logprob, Piece, Text, Thought, ToolCall, Usage

SAMPLES = 2
texts = st.text(max_size=3)
tokens = st.lists(
    st.builds(
        Logprob,
        token=st.integers(0, 9),
        text=texts,
        raw=st.binary(max_size=2),
        logprob=st.sampled_from([-0.5, float("-inf"), None]),
    ),
    max_size=2,
).map(tuple)
calls = st.builds(
    ToolCall,
    name=st.sampled_from(["note", "weather"]),
    arguments=st.dictionaries(texts, st.none() | texts | st.integers(-9, 9), max_size=2),
    id=st.sampled_from(["", "call_1"]),
)


def pieces(samples: int) -> st.SearchStrategy[list[Piece]]:
    """Pieces of so many answers, in any order."""
    common = {"sample": st.integers(0, samples - 1), "tokens": st.integers(0, 3), "logprobs": tokens}
    return st.lists(
        st.builds(Text, text=texts, **common)
        | st.builds(Thought, text=texts, **common)
        | st.builds(Called, call=calls, **common),
        max_size=8,
    )


ends = st.builds(
    Done,
    reason=st.sampled_from(["stop", "length"]),
    usage=st.just(Usage(prompt=9, cached=4, completion=6)),
    stop_string=st.sampled_from(["", "x"]),
)


def folded(events: list[Content], samples: int = 1) -> Folded:
    async def answer() -> AsyncGenerator[Content, None]:
        for event in events:
            yield event

    return asyncio.run(fold(answer(), samples))


def sent(frames: Iterable[bytes]) -> list[Any]:
    """The data of server-sent events, each of which is whole."""
    found = []
    for frame in frames:
        assert frame.endswith(b"\n\n")
        name, _, data = frame[:-2].decode().rpartition("data: ")
        assert "\n" not in data
        assert name == "" or name.startswith("event: ")
        found.append(data if data == "[DONE]" else json.loads(data))
    return found


def joined(deltas: Iterable[dict[str, Any]], *names: str) -> str:
    return "".join(delta[name] for delta in deltas for name in names if delta.get(name))


@given(pieces(1), ends)
def test_ollama(parts: list[Piece], end: Done) -> None:
    writer = ChatFrames("m")
    *frames, last = [frame for event in (*parts, end) for frame in writer.write(event)]
    whole = ChatFrames("m").whole(folded([*parts, end]))
    assert (last["done"], last["done_reason"], last["eval_count"]) == (True, end.reason, 6)
    assert not any(frame["done"] for frame in frames)
    messages = [frame["message"] for frame in frames]
    assert joined(messages, "content") == whole["message"]["content"]
    assert joined(messages, "thinking") == whole["message"].get("thinking", "")
    functions = [call["function"] for message in messages for call in message.get("tool_calls", ())]
    assert functions == [call["function"] for call in whole["message"].get("tool_calls", ())]
    assert [function["index"] for function in functions] == [*range(len(functions))]
    assert [one for frame in frames for one in frame.get("logprobs", ())] == whole.get("logprobs", [])


@given(pieces(1), ends)
def test_ollama_from_a_prompt(parts: list[Piece], end: Done) -> None:
    writer = GenerateFrames("m")
    frames = [frame for event in (*parts, end) for frame in writer.write(event)]
    whole = GenerateFrames("m").whole(folded([*parts, end]))
    assert joined(frames, "response") == whole["response"]
    assert joined(frames, "thinking") == whole.get("thinking", "")


@given(pieces(SAMPLES), ends)
def test_chat_completions(parts: list[Piece], end: Done) -> None:
    write = chat.Chunks("m", samples=SAMPLES, include_usage=True)
    *chunks, usage, done = sent(frame for event in (*parts, end) for frame in write(event))
    whole = chat.completion("m", folded([*parts, end], SAMPLES))
    assert (done, usage["choices"], usage["usage"]) == ("[DONE]", [], whole["usage"])
    for choice in whole["choices"]:
        message = choice["message"]
        mine = [one for chunk in chunks for one in chunk["choices"] if one["index"] == choice["index"]]
        deltas = [one["delta"] for one in mine]
        assert [delta.get("role") for delta in deltas] == ["assistant"] + [None] * (len(deltas) - 1)
        assert [one["finish_reason"] for one in mine] == [None] * (len(mine) - 1) + [choice["finish_reason"]]
        assert joined(deltas, "content") == (message["content"] or "")
        assert joined(deltas, "reasoning_content") == message.get("reasoning_content", "")
        streamed = [call for delta in deltas for call in delta.get("tool_calls", ())]
        assert [call["index"] for call in streamed] == [*range(len(streamed))]
        assert [call["function"] for call in streamed] == [
            call["function"] for call in message.get("tool_calls", ())
        ]
        logprobs = [entry for one in mine if one["logprobs"] for entry in one["logprobs"]["content"]]
        assert logprobs == (choice["logprobs"] or {"content": []})["content"]


@given(pieces(SAMPLES).map(lambda parts: [part for part in parts if isinstance(part, Text)]), ends)
def test_completions(parts: list[Piece], end: Done) -> None:
    write = completions.Chunks("m", samples=SAMPLES, logprobs=True)
    *chunks, done = sent(frame for event in (*parts, end) for frame in write(event))
    answer = folded([*parts, end], SAMPLES)
    whole = completions.completion("m", answer, n=SAMPLES, samples=SAMPLES, logprobs=True)
    assert done == "[DONE]"
    for choice in whole["choices"]:
        mine = [one for chunk in chunks for one in chunk["choices"] if one["index"] == choice["index"]]
        assert "".join(one["text"] for one in mine) == choice["text"]
        assert mine[-1]["finish_reason"] == choice["finish_reason"]
        for name, values in choice["logprobs"].items():
            assert [entry for one in mine if one["logprobs"] for entry in one["logprobs"][name]] == values


@given(pieces(1), ends)
def test_anthropic(parts: list[Piece], end: Done) -> None:
    writer = MessageFrames("m", 100)
    first, ping, *between, delta, stop = sent(
        frame for event in (*parts, end) for frame in writer.write(event)
    )
    whole = MessageFrames("m", 100).whole(folded([*parts, end]))
    assert [event["type"] for event in (first, ping, delta, stop)] == [
        "message_start",
        "ping",
        "message_delta",
        "message_stop",
    ]
    assert delta["delta"] == {name: whole[name] for name in ("stop_reason", "stop_sequence")}
    assert delta["usage"] == whole["usage"]
    blocks = anthropic_blocks(between)
    for kind in ("text", "thinking"):
        expected = "".join(block[kind] for block in whole["content"] if block["type"] == kind)
        assert "".join(block[kind] for block in blocks if block["type"] == kind) == expected
    called = [[block["name"], block["input"]] for block in blocks if block["type"] == "tool_use"]
    assert called == [[block["name"], block["input"]] for block in whole["content"] if "input" in block]
    assert all(block["text"] for block in blocks if block["type"] == "text")


def anthropic_blocks(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks as a client puts them together: one after the other, numbered."""
    blocks: list[dict[str, Any]] = []
    is_open = False
    for event in events:
        if event["type"] == "content_block_start":
            assert (is_open, event["index"]) == (False, len(blocks))
            is_open = True
            blocks.append(event["content_block"] | {"json": ""})
            continue
        assert (is_open, event["index"]) == (True, len(blocks) - 1)
        if event["type"] == "content_block_stop":
            is_open = False
            if blocks[-1]["type"] == "tool_use":
                blocks[-1]["input"] = json.loads(blocks[-1]["json"])
            continue
        delta = event["delta"]
        kind = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
        name = kind.get(delta["type"], "json")
        blocks[-1][name] += delta["partial_json" if name == "json" else name]
    assert not is_open
    return blocks


TOKEN = Logprob(token=1, text="", raw=b"", logprob=-0.5)
NOTED = Called(call=ToolCall(name="note", arguments={}))


@given(pieces(1), ends)
@example([NOTED, Text(text="", logprobs=(TOKEN,))], Done(reason="stop"))
def test_responses(parts: list[Piece], end: Done) -> None:
    writer = ResponseEvents({"id": "resp_1", "status": "in_progress", "output": []}, "/v1/responses", {})
    events = [frame for event in (*parts, end) for frame in writer.of(event)]
    assert [event["sequence_number"] for event in events] == [*range(len(events))]
    created, begun, *between, last = events
    assert [created["type"], begun["type"]] == ["response.created", "response.in_progress"]
    status = "incomplete" if end.reason == "length" else "completed"
    assert (last["type"], last["response"]["status"]) == (f"response.{status}", status)
    output = last["response"]["output"]
    assert response_output(between) == output
    sample = folded([*parts, end]).sample
    said = [part for item in output if item["type"] == "message" for part in item["content"]]
    assert joined(said, "text") == sample.text
    thought = [part for item in output if item["type"] == "reasoning" for part in item["summary"]]
    assert joined(thought, "text") == sample.thinking
    called = [json.loads(item["arguments"]) for item in output if item["type"] == "function_call"]
    assert called == [call.arguments for call in sample.calls]
    # The first may be an answer without any text.
    assert all(part["text"] for part in thought)
    assert all(item["content"][0]["text"] for item in output[1:] if item["type"] == "message")


def response_output(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items as a client puts them together: each is added, told piece by piece, and done."""
    output: list[dict[str, Any]] = []
    told = ""
    is_open = False
    for event in events:
        kind = event["type"].removeprefix("response.")
        if kind == "output_item.added":
            assert (is_open, event["output_index"]) == (False, len(output))
            output.append(event["item"])
            is_open, told = True, ""
            continue
        assert (is_open, event["output_index"]) == (True, len(output) - 1)
        if kind == "output_item.done":
            is_open = False
            assert event["item"]["id"] == output[-1]["id"]
            output[-1] = event["item"]
        elif kind.endswith(".delta"):
            told += event["delta"]
        elif kind.endswith(".done") and "part" not in kind:
            assert told == event.get("text", event.get("arguments"))
    assert not is_open
    return output
