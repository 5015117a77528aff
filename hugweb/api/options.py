"""Ollama's ``options`` object, which all dialects take.

What we do not know is ignored, floats are cut where whole numbers are meant, and errors are Ollama's. What is
Ollama's and means nothing here is held to its type as well: a client's mistake is told.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import ValidationError

from inference.errors import InvalidRequest
from inference.protocol import Options

OPTION_FIELDS = {field.name: field.type for field in msgspec.structs.fields(Options)}
WHOLE_NUMBERS = frozenset({"num_predict", "num_ctx", "num_keep", "top_k", "repeat_last_n", "seed"})
# Go's names of the types, for the texts that clients know.
GO_TYPES = dict.fromkeys(WHOLE_NUMBERS, "integer") | {"stop": "array"}
# Transformers' names, by which those who come from there know two of them.
OTHER_NAMES = {"repetition_penalty": "repeat_penalty", "max_new_tokens": "num_predict"}
# Ollama's options that mean nothing here: JSON's name of the type, Go's, and ours.
UNUSED: dict[str, tuple[str, str, type]] = {
    **dict.fromkeys(
        ("num_batch", "num_gpu", "main_gpu", "num_thread", "draft_num_predict"), ("number", "integer", float)
    ),
    "use_mmap": ("boolean", "boolean", bool),
}


def options_schema() -> dict[str, Any]:
    """The JSON Schema of ``Options``."""
    schema: dict[str, Any] = msgspec.json.schema_components((Options,), ref_template="#/{name}")[1]["Options"]
    return schema


def _lenient() -> dict[str, Any]:
    """The same as requests may say it: a number for a whole number, which is then cut."""
    schema = options_schema()
    for name in WHOLE_NUMBERS:
        kind = schema["properties"][name]["anyOf"][0]
        least, most = kind.pop("minimum"), kind.pop("maximum")
        lower = {"minimum": least} if least > 0 else {"exclusiveMinimum": least - 1}
        kind |= {"type": "number", **lower, "exclusiveMaximum": most + 1}
    others = {other: schema["properties"][ours] for other, ours in OTHER_NAMES.items()}
    unused = {
        name: {"type": [json, "null"], "description": "Not used."} for name, (json, _, _) in UNUSED.items()
    }
    return {"properties": schema["properties"] | others | unused, "description": schema["description"]}


# What requests may say; what is not known is ignored.
OPTIONS_SCHEMA = _lenient()


def option_of(name: str, ours: str, value: Any) -> Any:
    """``value`` of a request's field ``name`` as our option ``ours``; ``None`` stays that."""
    try:
        return msgspec.convert(value, OPTION_FIELDS[ours])
    except ValidationError as error:
        raise InvalidRequest(f"Invalid value for '{name}': {error}", param=name) from error


def parse_options(given: dict[str, Any]) -> Options:
    """The options that we know, each checked; null is skipped and what we do not know ignored.

    Where an option is there by both its names, Ollama's wins.
    """
    _check_unused(given)
    others = {
        ours: _option(other, ours, given[other]) for other, ours in OTHER_NAMES.items() if other in given
    }
    named = {name: _option(name, name, value) for name, value in given.items() if name in OPTION_FIELDS}
    return Options(**named).over(Options(**others))


def _check_unused(given: dict[str, Any]) -> None:
    for name, (_, go_type, kind) in UNUSED.items():
        try:
            msgspec.convert(given.get(name), kind | None)
        except ValidationError as error:
            raise _refused(name, f"must be of type {go_type}") from error


def _option(name: str, ours: str, value: Any) -> Any:
    """``value`` of what a request calls ``name`` as our option ``ours``; ``None`` stays that."""
    if ours in WHOLE_NUMBERS and isinstance(value, float):
        value = _truncated(name, value)
    if ours == "stop" and isinstance(value, list) and not all(isinstance(text, str) for text in value):
        raise _refused(name, "must be of an array of strings")
    try:
        return msgspec.convert(value, OPTION_FIELDS[ours], str_keys=True)
    except ValidationError as error:
        if isinstance(value, int | float | list) and not isinstance(value, bool):
            raise _refused(name, f"is out of range: {error}") from error
        raise _refused(name, f"must be of type {GO_TYPES.get(ours, 'float32')}") from error


def _truncated(name: str, value: float) -> int:
    try:
        return int(value)
    except (OverflowError, ValueError) as error:
        raise _refused(name, "must be of type integer") from error


def _refused(name: str, why: str) -> InvalidRequest:
    return InvalidRequest(f'option "{name}" {why}', param=f"options.{name}")
