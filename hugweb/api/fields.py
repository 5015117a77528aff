"""Fields that several dialects have in common, with what their description adds to their types.

What is added is checked where the field is read, with the words that clients know.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from hugweb.api.options import OPTIONS_SCHEMA
from inference.protocol import LONGEST_GIVEN_TEMPLATE, MAX_TOP_LOGPROBS


def told(**schema: Any) -> Meta:
    """Says ``schema`` in the description, and checks nothing."""
    return Meta(extra_json_schema=schema)


def case(field: str, *values: str, needs: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    """What holds of an object whose ``field`` is one of ``values``: one of the choices of an ``anyOf``."""
    return {"properties": {field: {"enum": [*values]}, **properties}, "required": [field, *needs]}


def rule(given: dict[str, Any], needed: dict[str, Any]) -> dict[str, Any]:
    """Of an object whose properties are as ``given``, which are there, also ``needed`` holds."""
    return {"if": {"properties": given, "required": [*given]}, "then": needed}


def one_or_several(most: int) -> Meta:
    """A list of token ids, which are one input, or of ``most`` texts and lists of them; not empty."""
    several = {"items": {"type": ["string", "array"]}, "maxItems": most}
    return told(minItems=1, anyOf=[several, {"items": {"type": "integer"}}])


NOT_NULL: dict[str, Any] = {"not": {"type": "null"}}
# Of a request that may choose among its tools: there are some, where one has to be called.
TOOLS_TO_CHOOSE = rule(
    {"tool_choice": {"enum": ["required", "any"]}},
    {"required": ["tools"], "properties": {"tools": {"type": "array", "minItems": 1}}},
)
# Something beside what Python takes for spaces.
NOT_BLANK = r"[^\s\x1c-\x1f\x85]"
_DURATION = r"^(?:[+-]?0|[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)?$"
_PART = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"
_HOST = "(?:https?://)?[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}"
_KNOWN_HOST = r"(?:https?://)?(?:(?:hf\.co|huggingface\.co|registry\.ollama\.ai)/)?"
_NEW_NAME = rf"^{_KNOWN_HOST}(?:{_PART}/)?{_PART}(?::{_PART})?$"
_NAME = rf"^(?:(?:{_HOST}/)?{_PART}/)?{_PART}(?::{_PART})?$"
# Base64, and how the files that are taken begin in it, each to a whole number of its groups of four.
_B = "[A-Za-z0-9+/]"
_END = f"(?:{_B}{{4}})*(?:{_B}{{2}}==|{_B}{{3}}=)?"
_RIFF = f"UklGR[g-v]{_B}{{4}}[BFJNRVZdhlptx159]X"
_IMAGE = f"iVBORw0KGg[o-r]{_B}|/9j/|R0lGOD[dl]h|Qk[0-3]{_B}|{_RIFF}RUJQ"
_SOUND = f"SUQz|//[I-Ps-v]{_B}|(?:ZkxhQ|T2dnU)[w-z0-9+/]{_B}{{2}}|{_RIFF}QVZF"

KeepAlive = Annotated[
    Any, told(anyOf=[{"type": "number"}, {"type": "string", "pattern": _DURATION}, {"type": "null"}])
]
GivenOptions = Annotated[dict[str, Any], told(**OPTIONS_SCHEMA)]
GivenSchema = Annotated[dict[str, Any], told(description="A JSON Schema.")]
GivenTemplate = Annotated[str, told(format="jinja", maxLength=LONGEST_GIVEN_TEMPLATE)]
ModelName = Annotated[str, told(pattern=_NAME)]
# What is made or pulled has no host in its name, unless it is one that need not be written.
NewName = Annotated[str, told(pattern=_NEW_NAME)]
BlobName = Annotated[str, told(pattern="^sha256[:-][0-9a-f]{64}$")]
ImageOrSound = Annotated[
    bytes, told(pattern=f"^(?:{_IMAGE}|{_SOUND}){_END}$", description="An image or a sound, in base64.")
]
IMAGE_PATTERN, SOUND_PATTERN = f"(?:{_IMAGE}){_END}", f"(?:{_SOUND}){_END}"


# A word, one of the tools, or some of them.
GivenChoice = Annotated[
    Any,
    told(anyOf=[{"enum": ["auto", "none", "required", "any"]}, {"type": "object"}, {"type": "null"}]),
]
TopLogprobs = Annotated[int, told(minimum=0, maximum=MAX_TOP_LOGPROBS)]
