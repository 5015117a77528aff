"""Tools, and which of them may be called, in the spellings of chat completions and of responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, ValidationError

from hugweb.api.schema import schema_text
from inference.errors import InvalidRequest, Unsupported
from inference.protocol import MAX_TOOLS, Tool, ToolChoice


class FunctionSpec(Struct, kw_only=True):
    """A function that may be called. Arguments are always held to ``parameters``, ``strict`` or not."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ToolSpec(Struct, kw_only=True):
    """A tool: the function in ``function`` (chat completions), or right here (responses)."""

    type: str = "function"
    function: FunctionSpec | None = None
    name: str = ""
    description: str | None = None
    parameters: dict[str, Any] | None = None


@dataclass(frozen=True)
class Tools:
    """The tools of a request as the engine takes them."""

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = "auto"
    name: str = ""


class _Named(Struct, kw_only=True):
    name: str


class _Allowed(Struct, kw_only=True):
    mode: str = "auto"
    tools: list[_Choice]


class _Choice(Struct, kw_only=True):
    """An object in place of a word: one function, or some of them."""

    type: str = "function"
    function: _Named | None = None
    name: str = ""
    allowed_tools: _Allowed | None = None
    mode: str = "auto"
    tools: list[_Choice] = []

    @property
    def function_name(self) -> str:
        return self.function.name if self.function else self.name


def read_tools(given: Sequence[ToolSpec], choice: Any) -> Tools:
    """``given`` and the ``tool_choice`` of a request, each checked."""
    if len(given) > MAX_TOOLS:
        raise InvalidRequest(
            f"{len(given)} tools are too many; at most {MAX_TOOLS} are taken.", param="tools"
        )
    tools = tuple(_tool(spec, f"tools[{number}]") for number, spec in enumerate(given))
    if len({tool.name for tool in tools}) < len(tools):
        raise InvalidRequest("Two tools have the same name.", param="tools")
    return _chosen(tools, choice)


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


def _chosen(tools: tuple[Tool, ...], choice: Any) -> Tools:
    match choice:
        case None | "auto":
            return Tools(tools)
        case "none":
            return Tools(tools, "none")
        case "required" | "any":
            _require(tools, tools)
            return Tools(tools, "required")
        case dict():
            return _chosen_by(tools, _choice(choice))
    raise InvalidRequest("tool_choice is none, auto, required, or one of the tools.", param="tool_choice")


def _choice(given: dict[str, Any]) -> _Choice:
    try:
        return msgspec.convert(given, _Choice)
    except ValidationError as error:
        raise InvalidRequest(f"tool_choice: {error}", param="tool_choice") from error


def _chosen_by(tools: tuple[Tool, ...], choice: _Choice) -> Tools:
    match choice.type:
        case "function":
            name = choice.function_name
            _require(tools, [tool for tool in tools if tool.name == name])
            return Tools(tools, "required", name)
        case "allowed_tools":
            allowed = choice.allowed_tools or _Allowed(mode=choice.mode, tools=choice.tools)
            names = {one.function_name for one in allowed.tools}
            some = tuple(tool for tool in tools if tool.name in names)
            _require(tools, some)
            return _chosen(some, allowed.mode)
    raise Unsupported(f"tool_choice of type '{choice.type}' is not supported.", param="tool_choice")


def _require(tools: Sequence[Tool], found: Sequence[Tool]) -> None:
    if not found:
        names = ", ".join(tool.name for tool in tools) or "none"
        raise InvalidRequest(
            f"tool_choice names no tool of this request; there are: {names}", param="tool_choice"
        )
