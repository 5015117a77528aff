"""``tool_choice``: which of a request's tools may be called, or must be.

A word (auto, none, required), one function, or some of them, in the spellings of OpenAI's chat
completions and responses; Ollama's users ask for the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct, ValidationError

from hugweb.api.depth import DEEPEST, is_deep
from inference.errors import InvalidRequest, Unsupported
from inference.protocol import Tool, ToolChoice


@dataclass(frozen=True)
class Tools:
    """The tools of a request as the engine takes them."""

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = "auto"
    name: str = ""

    def parallel(self, wanted: bool) -> bool:
        """Whether an answer may hold several calls: a function that is named is called exactly once."""
        return wanted and not self.name


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


def choose_tools(tools: tuple[Tool, ...], choice: Any) -> Tools:
    """``tools`` as ``choice`` narrows them; ``None`` is auto."""
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
    if is_deep(given):
        raise InvalidRequest(
            f"tool_choice is nested too deeply: at most {DEEPEST} levels.", param="tool_choice"
        )
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
            return choose_tools(some, allowed.mode)
    raise Unsupported(f"tool_choice of type '{choice.type}' is not supported.", param="tool_choice")


def _require(tools: Sequence[Tool], found: Sequence[Tool]) -> None:
    if not found:
        names = ", ".join(tool.name for tool in tools) or "none"
        raise InvalidRequest(
            f"tool_choice names no tool of this request; there are: {names}", param="tool_choice"
        )
