"""How the fields of a request depend on each other: the description and the server agree on what fits."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hugweb.api.fields import IMAGE_PATTERN, SOUND_PATTERN
from tests.api.rest.conftest import PEOPLE, People
from tests.api.rest.everything import ABLE, DRAWS, MODELS, PICTURE_URL, SOUND, answer
from tests.api.stage import Stage, open_stage

HI = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "look"}}
IMAGE = {"type": "base64", "media_type": "image/png", "data": PICTURE_URL.partition(",")[2]}
GOOD, BAD = True, False


def said(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": [*blocks]}]}


def item(**fields: Any) -> dict[str, Any]:
    return {"input": [fields]}


def space(**fields: Any) -> dict[str, Any]:
    return {"type": "namespace", "name": "a", **fields}


OLLAMA_CHAT: list[tuple[dict[str, Any], bool]] = [
    ({"messages": [HI], "tools": [TOOL]}, GOOD),
    ({"messages": [HI], "tools": [{"type": "function"}]}, BAD),
    ({"messages": [HI], "tools": [{"function": {"name": ""}}]}, BAD),
    ({"messages": [HI], "tool_choice": "required"}, BAD),
    ({"messages": [HI], "tool_choice": "required", "tools": [TOOL]}, GOOD),
    ({"messages": [HI], "tool_choice": "auto"}, GOOD),
    ({"keep_alive": 0, "options": {"repeat_penalty": 2}}, GOOD),
    ({"keep_alive": 0, "options": {"repeat_penalty": -2}}, BAD),
]
OLLAMA_COPY: list[tuple[dict[str, Any], bool]] = [
    ({"destination": "copied:1"}, GOOD),
    ({"destination": "hf.co/a/copied"}, GOOD),
    ({"destination": "host/a/copied"}, BAD),
]
OLLAMA_GENERATE: list[tuple[dict[str, Any], bool]] = [
    ({"prompt": "a", "raw": True}, GOOD),
    ({"prompt": "a", "raw": True, "system": "", "context": [], "template": None}, GOOD),
    ({"prompt": "a", "raw": True, "system": "b"}, BAD),
    ({"prompt": "a", "raw": True, "context": [1]}, BAD),
    ({"prompt": "a", "raw": False, "system": "b"}, GOOD),
    ({"prompt": "a", "raw": True, "images": [IMAGE["data"]]}, BAD),
    ({"prompt": "a", "raw": True, "images": []}, GOOD),
    ({"prompt": "a", "suffix": "b", "images": [IMAGE["data"]]}, BAD),
    ({"prompt": "a", "suffix": "", "images": [IMAGE["data"]]}, GOOD),
    ({"keep_alive": 0, "raw": True, "system": "b"}, BAD),
]
CHAT: list[tuple[dict[str, Any], bool]] = [
    ({"messages": [{"role": "user"}]}, BAD),
    ({"messages": [{"role": "user", "content": None}]}, BAD),
    ({"messages": [{"role": "assistant"}, HI]}, GOOD),
    ({"messages": [{"role": "nobody", "content": "Hi"}]}, BAD),
    ({"messages": [HI], "top_logprobs": 2}, BAD),
    ({"messages": [HI], "top_logprobs": 2, "logprobs": False}, BAD),
    ({"messages": [HI], "top_logprobs": 2, "logprobs": True}, GOOD),
    ({"messages": [HI], "tool_choice": "required"}, BAD),
    ({"messages": [HI], "tools": [{"type": "function"}]}, BAD),
    ({"messages": [HI], "response_format": {"type": "json_schema"}}, BAD),
    ({"messages": [HI], "response_format": {"type": "json_schema", "json_schema": {}}}, BAD),
    ({"messages": [HI], "response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, GOOD),
    ({"messages": [HI], "response_format": {"type": "text"}}, GOOD),
    ({"messages": [HI], "response_format": {"type": "xml"}}, BAD),
    (said({"type": "text", "text": "a", "image_url": None}), GOOD),
    (said({"type": "image_url"}), BAD),
    (said({"type": "image_url", "image_url": {"url": PICTURE_URL}}), GOOD),
    (said({"type": "image_url", "image_url": "data:image/png;base64,AAAA"}), BAD),
    (said({"type": "input_audio", "input_audio": {}}), BAD),
    (said({"type": "video"}), BAD),
]
COMPLETIONS: list[tuple[dict[str, Any], bool]] = [
    ({"prompt": ""}, GOOD),
    ({"prompt": ["a", ""]}, GOOD),
    ({"prompt": [1, 2]}, GOOD),
    ({"prompt": [[1], [2, 3]]}, GOOD),
    ({"prompt": []}, BAD),
    ({"prompt": [[]]}, BAD),
    ({"prompt": ["a", [1]]}, GOOD),
    ({"prompt": ["a", 1]}, BAD),
    ({"prompt": ["a"] * 129}, BAD),
]
RESPONSES: list[tuple[dict[str, Any], bool]] = [
    (item(role="user", content="Hi"), GOOD),
    (item(content="Hi"), BAD),
    (item(type="message", role="tool", content="Hi"), BAD),
    (item(type="message", role="user", content=[{"type": "input_image"}]), BAD),
    (item(type="function_call", call_id="a"), BAD),
    (item(type="function_call", call_id="a", name="look", arguments="{}"), GOOD),
    (item(type="function_call_output", call_id="a", output=[{"type": "input_text", "text": "a"}]), GOOD),
    (item(type="function_call_output", call_id="a", output=[{"type": "input_audio"}]), BAD),
    (item(type="reasoning", summary=[{"type": "summary_text", "text": "hm"}]), GOOD),
    (item(type="computer_call"), BAD),
    (item(type=None, role="user", content="Hi", id=None, status=None, name=None, summary=None), GOOD),
    (item(type=None, role=None, content="Hi"), BAD),
    (item(type="message", role=None, content="Hi"), BAD),
    (item(type="function_call", name="look", arguments=None, namespace=None, call_id=None), GOOD),
    (item(type="function_call", name=None), BAD),
    (item(type="function_call_output", output=None, call_id=None), GOOD),
    (item(type="reasoning", summary=None, content=None), GOOD),
    (item(type="reasoning", summary=[{"text": None}]), BAD),
    (item(type="item_reference", id=None), BAD),
    ({}, BAD),
    ({"input": "", "previous_response_id": ""}, BAD),
    ({"input": [], "previous_response_id": None}, BAD),
    ({"input": "Hi", "tools": [{"type": "function", "name": "look"}]}, GOOD),
    ({"input": "Hi", "tools": [{"type": "function"}]}, BAD),
    ({"input": "Hi", "text": {"format": {"type": "json_schema", "name": "a", "schema": {}}}}, GOOD),
    ({"input": "Hi", "text": {"format": {"type": "json_schema", "name": "a"}}}, BAD),
    ({"input": "Hi", "tool_choice": "required"}, BAD),
    ({"input": "Hi", "tools": [space(tools=[{"name": "look"}])]}, GOOD),
    ({"input": "Hi", "tools": [space(tools=[{"name": ""}])]}, BAD),
    ({"input": "Hi", "tools": [space(tools=[])]}, BAD),
    ({"input": "Hi", "tools": [space()]}, BAD),
    ({"input": "Hi", "tools": [space(type="function", tools=[{"name": ""}])]}, GOOD),
]
MESSAGES: list[tuple[dict[str, Any], bool]] = [
    (said({"type": "text", "text": "a", "source": {"type": "url"}}), GOOD),
    (said({"type": "image", "source": IMAGE}), GOOD),
    (said({"type": "image"}), BAD),
    (said({"type": "image", "source": IMAGE | {"type": "url"}}), BAD),
    (said({"type": "tool_use", "id": "a", "name": "look"}, role="assistant"), GOOD),
    (said({"type": "tool_use", "id": "a", "name": "look"}), BAD),
    (said({"type": "tool_use", "id": "a"}, role="assistant"), BAD),
    (said({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "b"}]}), GOOD),
    (said({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "tool_result"}]}), BAD),
    (said({"type": "tool_result"}), BAD),
    ({"messages": [HI], "system": [{"type": "text", "text": "a"}]}, GOOD),
    ({"messages": [HI], "system": [{"type": "image", "source": IMAGE}]}, BAD),
    ({"messages": [HI], "tools": [{"name": ""}]}, BAD),
    ({"messages": [HI], "max_tokens": 0}, GOOD),
    ({"messages": [HI], "max_tokens": -1}, BAD),
    ({"messages": [HI], "thread": {"type": "create"}}, BAD),
    ({"messages": [HI], "mcp_servers": [{}]}, BAD),
    (said({"type": "document", "source": {"type": "text", "data": "a"}}), GOOD),
    (said({"type": "document", "source": {"type": "base64", "data": "YWJj"}}), GOOD),
    (said({"type": "document", "source": {"type": "base64", "data": "/w=="}}), BAD),
    (said({"type": "document", "source": {"type": "url"}}), BAD),
    (said({"type": "document"}), BAD),
    ({"messages": [HI], "tool_choice": {"type": "any"}}, BAD),
    ({"messages": [HI], "tool_choice": {"type": "any"}, "tools": [{"name": "look"}]}, GOOD),
]
COUNTED: list[tuple[dict[str, Any], bool]] = [
    ({"messages": [HI]}, GOOD),
    ({"messages": [HI], "max_tokens": 0}, GOOD),
    ({"messages": [HI], "max_tokens": -3}, BAD),
]
EDITS: list[tuple[dict[str, Any], bool]] = [
    ({"prompt": "a", "image": PICTURE_URL}, GOOD),
    ({"prompt": "a", "image": {"image_url": PICTURE_URL}}, GOOD),
    ({"prompt": "a", "image": {}}, BAD),
    ({"prompt": "a", "image": []}, BAD),
    ({"prompt": "a", "image": [PICTURE_URL] * 17}, BAD),
    ({"prompt": "a"}, BAD),
]
EMBEDDINGS: list[tuple[dict[str, Any], bool]] = [
    ({"input": "a"}, GOOD),
    ({"input": [[1], [2]]}, GOOD),
    ({"input": []}, BAD),
    ({"input": ["a", [1]]}, GOOD),
    ({"input": ["a", 1]}, BAD),
]
STREAM: list[tuple[dict[str, Any], bool]] = [
    ({"message": "a"}, GOOD),
    ({"message": " \x1f\n"}, BAD),
    ({}, BAD),
]
RULES = {
    "/api/copy": ({"source": ABLE}, OLLAMA_COPY),
    "/api/chat": ({"model": ABLE}, OLLAMA_CHAT),
    "/api/generate": ({"model": ABLE}, OLLAMA_GENERATE),
    "/v1/chat/completions": ({"model": ABLE}, CHAT),
    "/v1/completions": ({"model": ABLE}, COMPLETIONS),
    "/v1/responses": ({"model": ABLE}, RESPONSES),
    "/v1/embeddings": ({"model": ABLE}, EMBEDDINGS),
    "/v1/images/edits": ({"model": DRAWS}, EDITS),
    "/v1/messages/count_tokens": ({"model": ABLE}, COUNTED),
    "/v1/messages": ({"model": ABLE, "max_tokens": 9}, MESSAGES),
    "/stream-message": ({"model": ABLE}, STREAM),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("rules"), MODELS, PEOPLE) as stage:
        yield stage


@pytest.fixture(scope="module")
def described(running: Stage) -> dict[str, Any]:
    return json.loads(running.request("GET", "/rest/schema/?format=json")[2])


@pytest.mark.parametrize("path", RULES)
def test_what_fits_is_taken_and_nothing_else(people: People, described: dict[str, Any], path: str) -> None:
    people.stage.engine.script = answer
    content = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    validator = Draft202012Validator(content["schema"] | {"components": described["components"]})
    common, cases = RULES[path]
    for fields, fits in cases:
        body = common | fields
        assert validator.is_valid(body) == fits, fields
        headers = {"Authorization": f"Bearer {people.known['boss']}", "Content-Type": "application/json"}
        status, _, text = people.stage.request("POST", path, body, headers)
        assert (status == 200) == fits, (fields, status, text)
        assert status in (200, 400), (fields, status, text)


def test_files_in_base64_begin_as_described() -> None:
    wave = base64.b64encode(SOUND).decode()
    assert re.fullmatch(SOUND_PATTERN, wave)
    assert not re.fullmatch(IMAGE_PATTERN, wave)
    webp = base64.b64encode(b"RIFF\xff\xff\xff\xffWEBPVP8 ").decode()
    assert re.fullmatch(IMAGE_PATTERN, webp)
    assert not re.fullmatch(SOUND_PATTERN, webp)
    assert not re.fullmatch(IMAGE_PATTERN, base64.b64encode(b"RIFG\0\0\0\0WEBPVP8 ").decode())
    assert not re.fullmatch(IMAGE_PATTERN, base64.b64encode(b"RIFF\0\0\0\0\x57\x05BPVP8 ").decode())
