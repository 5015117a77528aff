"""The tools of a response: functions, also those in namespaces, and searches of the web, which are left out.

The model knows the function ``find`` of the namespace ``crm`` as ``crm.find``; in items these are two
fields. Codex sends a namespace and a search with every request, whether they are needed or not. Source:
OpenAI's reference and the types of their Python client, 3.54.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from msgspec.structs import replace

from hugweb.api.fields import case, told
from hugweb.api.openai.tools import SPELLINGS, ToolSpec, check_count, check_tools
from hugweb.api.remarks import NOTE, remark
from hugweb.api.tool_choice import Tools
from inference.errors import InvalidRequest

FUNCTION, NAMESPACE = "function", "namespace"
# With or without a date behind; not described, since it is not here.
SEARCH = re.compile(r"web_search(_preview)?(_[0-9]{4}_[0-9]{2}_[0-9]{2})?")
LEFT_OUT = "web_search is not here: the model answers without it"
# The two names of a member are one to the model, which is not to be too long.
LONGEST_HALF = 127
_HALF = {"type": "string", "minLength": 1, "maxLength": LONGEST_HALF}
_MEMBER = {"required": ["name"], "properties": {"function": {"type": "null"}, "name": _HALF}}


class ResponseTool(ToolSpec, kw_only=True):
    """A function, a namespace with its functions in ``tools``, or a search of the web."""

    type: Annotated[str, told(enum=[FUNCTION, NAMESPACE])] = FUNCTION
    tools: list[ToolSpec] = []


_CASES = [
    *(
        {**spelling, "properties": {**spelling["properties"], "type": {"const": FUNCTION}}}
        for spelling in SPELLINGS
    ),
    case("type", NAMESPACE, needs=("name", "tools"), name=_HALF, tools={"minItems": 1, "items": _MEMBER}),
]
GivenResponseTool = Annotated[ResponseTool, told(anyOf=_CASES)]


def read_response_tools(given: Sequence[ResponseTool], choice: Any) -> Tools:
    """The functions among ``given`` and the ``tool_choice`` of a request, each checked."""
    check_count(
        sum(len(tool.tools) if tool.type == NAMESPACE else 1 for tool in given if not _is_search(tool))
    )
    functions = [found for number, tool in enumerate(given) for found in _functions(tool, f"tools[{number}]")]
    return check_tools(functions, choice, "tools")


def namespaces(given: Sequence[ResponseTool]) -> dict[str, str]:
    """The namespace of each function that is in one, by the name that the model knows."""
    return {
        qualified(tool.name, function.name): tool.name
        for tool in given
        if tool.type == NAMESPACE
        for function in tool.tools
    }


def qualified(namespace: str, name: str) -> str:
    """What the model knows the function ``name`` as."""
    return f"{namespace}.{name}" if namespace else name


def _functions(tool: ResponseTool, place: str) -> Iterator[tuple[str, ToolSpec]]:
    """The functions in ``tool``, each with where it stands in the request."""
    if _is_search(tool):
        remark(NOTE, LEFT_OUT)
    elif tool.type == NAMESPACE:
        yield from _members(tool, place)
    else:
        yield place, tool


def _is_search(tool: ResponseTool) -> bool:
    return bool(SEARCH.fullmatch(tool.type))


def _members(tool: ResponseTool, place: str) -> Iterator[tuple[str, ToolSpec]]:
    if not tool.name:
        raise InvalidRequest("A namespace needs a name.", param=f"{place}.name")
    if not tool.tools:
        raise InvalidRequest("A namespace needs tools.", param=f"{place}.tools")
    _check_half(tool.name, f"{place}.name")
    for number, function in enumerate(tool.tools):
        _check_half(function.name, f"{place}.tools[{number}].name")
        about = "\n".join(filter(None, (tool.description, function.description)))
        # Without a name it stays so, for the error that every tool without one gets.
        name = function.name and qualified(tool.name, function.name)
        yield f"{place}.tools[{number}]", replace(function, function=None, name=name, description=about)


def _check_half(name: str, place: str) -> None:
    if len(name) > LONGEST_HALF:
        raise InvalidRequest(
            f"A namespace and each function in one has a name of at most {LONGEST_HALF} characters.",
            param=place,
        )
