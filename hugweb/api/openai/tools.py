"""Tools, and which of them may be called, in the spellings of chat completions and of responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, ValidationError

from hugweb.api.fields import NOT_NULL, told
from hugweb.api.schema import schema_text
from hugweb.api.tool_choice import Tools, choose_tools
from inference.errors import InvalidRequest, Unsupported
from inference.protocol import MAX_TOOLS, Tool


class FunctionSpec(Struct, kw_only=True):
    """A function that may be called. Arguments are always held to ``parameters``, ``strict`` or not."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ToolSpec(Struct, kw_only=True):
    """A tool: the function in ``function`` (chat completions), or right here (responses)."""

    type: Annotated[str, told(enum=["function"])] = "function"
    function: FunctionSpec | None = None
    name: str = ""
    description: str | None = None
    parameters: dict[str, Any] | None = None


_NAME = {"type": "string", "minLength": 1, "maxLength": 256}
SPELLINGS: list[dict[str, Any]] = [
    {"required": ["function"], "properties": {"function": NOT_NULL}},
    {"required": ["name"], "properties": {"function": {"type": "null"}, "name": _NAME}},
]
GivenTool = Annotated[ToolSpec, told(anyOf=SPELLINGS)]


def read_tools(given: Sequence[ToolSpec], choice: Any, param: str = "tools") -> Tools:
    """``given`` and the ``tool_choice`` of a request, each checked; ``param`` is where tools are said."""
    return check_tools([(f"{param}[{number}]", spec) for number, spec in enumerate(given)], choice, param)


def check_tools(placed: Sequence[tuple[str, ToolSpec]], choice: Any, param: str) -> Tools:
    """As ``read_tools``, of tools with where each stands in the request."""
    check_count(len(placed), param)
    tools = tuple(_tool(spec, place) for place, spec in placed)
    if len({tool.name for tool in tools}) < len(tools):
        raise InvalidRequest("Two tools have the same name.", param=param)
    return choose_tools(tools, choice)


def check_count(count: int, param: str = "tools") -> None:
    """Refuse more tools than the engine takes."""
    if count > MAX_TOOLS:
        raise InvalidRequest(f"{count} tools are too many; at most {MAX_TOOLS} are taken.", param=param)


def _tool(spec: ToolSpec, place: str) -> Tool:
    if spec.type != "function":
        raise Unsupported(f"Tools of type '{spec.type}' are not supported.", param=f"{place}.type")
    function = spec.function or _function(spec, place)
    parameters = function.parameters or {}
    try:
        schema_text(parameters)
    except InvalidRequest as error:
        raise InvalidRequest(error.message, param=f"{place}.parameters") from error
    return Tool(name=function.name, description=function.description or "", parameters=parameters)


def _function(spec: ToolSpec, place: str) -> FunctionSpec:
    try:
        return msgspec.convert(msgspec.to_builtins(spec), FunctionSpec)
    except ValidationError as error:
        raise InvalidRequest("A tool needs a name.", param=f"{place}.name") from error
