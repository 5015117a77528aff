"""docs/anthropic.md is the code's, and says of all that Anthropic's own client can send what it does."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from anthropic.types import ContentBlockParam, ToolUnionParam, tool_result_block_param
from anthropic.types.beta import BetaContentBlockParam, BetaToolUnionParam
from anthropic.types.beta import message_count_tokens_params as beta_counts
from anthropic.types.beta import message_create_params as beta_messages
from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsStreaming

from hugweb.api.anthropic import urls
from hugweb.api.anthropic.blocks import Block, GivenMessage, messages_ours
from hugweb.api.anthropic.requests import MessagesBody
from inference.errors import InvalidRequest
from tests.api.stage import HELLO, Stage
from tests.api.tables import kinds, parameters, rows
from tests.serving import PROJECT

NAME = "anthropic.md"
PAGE = (PROJECT / "docs" / NAME).read_text()
FIELDS = {field.encode_name for field in msgspec.structs.fields(MessagesBody)}
SENT: dict[str, Any] = {"mcp_servers": [{"name": "a"}]}
ALL_KINDS = kinds(ContentBlockParam) | kinds(BetaContentBlockParam) | kinds(tool_result_block_param.Content)


def test_every_route_is_documented() -> None:
    documented = set(re.findall(r"^\| `POST (/[^`]+)`", PAGE, re.MULTILINE))
    assert documented == {f"/v1/{pattern.pattern}" for pattern in urls.urlpatterns}


def test_every_field_is_documented() -> None:
    assert set(rows(NAME, "Fields")) == FIELDS
    assert not FIELDS & set(rows(NAME, "Ignored fields"))


@pytest.mark.parametrize(
    "sent",
    [
        MessageCreateParamsStreaming,
        beta_messages.MessageCreateParamsStreaming,
        MessageCountTokensParams,
        beta_counts.MessageCountTokensParams,
    ],
)
def test_every_parameter_of_the_client_is_told_of(sent: Any) -> None:
    assert parameters(sent) - set(rows(NAME, "Fields", "Ignored fields")) == set()


def test_what_is_refused_is_refused_by_name(stage: Stage) -> None:
    refused = {name for name, told in rows(NAME, "Fields").items() if told.startswith("refused")}
    assert refused
    for name in refused:
        body = {"model": "test/tools", "max_tokens": 9, "messages": HELLO, name: SENT.get(name, {"id": "x"})}
        status, _, text = stage.post("/v1/messages", body)
        assert (status, json.loads(text)["error"]["message"].split(":")[0]) == (400, name)


def test_every_block_is_told_of() -> None:
    assert set(rows(NAME, "Blocks")) == ALL_KINDS


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_blocks_are_refused_as_it_is_told(kind: str) -> None:
    """Those that are taken are refused at most for what is missing in them."""
    refused = rows(NAME, "Blocks")[kind].startswith("refused")
    try:
        messages_ours([GivenMessage(role="assistant", content=[Block(type=kind, text="Hi")])])
    except InvalidRequest as error:
        assert ("are not supported here" in error.message) == refused
    else:
        assert not refused


@pytest.mark.parametrize("kind", (kinds(ToolUnionParam) | kinds(BetaToolUnionParam)) - {"custom"})
def test_only_tools_of_the_clients_own_are_taken(stage: Stage, kind: str) -> None:
    tools = [{"type": kind, "name": "a"}]
    body = {"model": "test/tools", "max_tokens": 9, "messages": HELLO, "tools": tools}
    status, _, text = stage.post("/v1/messages", body)
    assert (status, "only the client's own" in json.loads(text)["error"]["message"]) == (400, True)
