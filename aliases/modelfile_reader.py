"""Reads Ollama's Modelfiles: what an alias can be made of, and what of it has no meaning here.

Source: the grammar of Ollama's docs/modelfile.md. A template has to be Jinja, as models from the Hub
have them; adapters belong to GGUF models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from aliases.parameters import KINDS, loading_read
from aliases.services import Settings
from aliases.templates import template_checked
from inference.errors import InvalidRequest
from inference.protocol import Message, Options

LONGEST = 4_000_000
MARK = '"""'
_LINE = re.compile(r"\s*([A-Za-z]+)[ \t]+(.*)", re.DOTALL)
_KNOWN = {"from", "parameter", "system", "message", "license", "template", "adapter", "requires"}
_LEFT_OUT = {"adapter", "requires"}
_FIELDS = {field.name: field.type for field in msgspec.structs.fields(Options)}


class Modelfile(NamedTuple):
    """The model it is made from, what is set, and the names of what was left out."""

    source: str
    settings: Settings
    left_out: tuple[str, ...]


def modelfile_read(text: str) -> Modelfile:
    """``text`` as an alias; ``InvalidRequest`` says where it is none."""
    if len(text) > LONGEST:
        raise InvalidRequest(f"The Modelfile is too long: at most {LONGEST} characters.")
    source, left_out = "", []
    fields: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    messages: list[Message] = []
    for name, value in _instructions(text):
        if name in _LEFT_OUT:
            left_out.append(name.upper())
        elif name == "from":
            source = value
        elif name == "parameter":
            left_out += _parameter(parameters, value)
        elif name == "template":
            fields[name] = template_checked(value)
        elif name == "message":
            messages.append(_message(value))
        else:
            fields[name] = value
    if not source:
        raise InvalidRequest("A Modelfile needs a line FROM that names a model.")
    fields |= loading_read(parameters)
    settings = Settings(**fields, options=_options(parameters), messages=tuple(messages) or None)
    return Modelfile(source, settings, tuple(dict.fromkeys(left_out)))


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction's name in lower case and its value, without the quotes."""
    # Not splitlines, which knows of ten more line ends that are no one's here.
    lines = iter(text.replace("\r\n", "\n").split("\n"))
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if not match or match[1].lower() not in _KNOWN:
            raise InvalidRequest(f"Line {number} of the Modelfile is no instruction: {line.strip()[:60]!r}")
        yield match[1].lower(), _value(match[2], lines)


def _value(first: str, rest: Iterator[str]) -> str:
    """A value that may go on over the next lines until its three quotes close."""
    start, mark, opened = first.partition(MARK)
    if not mark:
        return _unquoted(first.strip())
    body, closed, _ = opened.partition(MARK)
    while not closed:
        line = next(rest, None)
        if line is None:
            raise InvalidRequest('Three quotes (""") of the Modelfile are never closed.')
        more, closed, _ = line.partition(MARK)
        body += "\n" + more
    return start + body


def _unquoted(value: str) -> str:
    """``value`` without its quotes; what ``aliases.modelfile`` writes is quoted as in JSON."""
    if len(value) < 2 or not value[0] == value[-1] == '"':
        return value
    try:
        return msgspec.json.decode(value, type=str)
    except msgspec.DecodeError:
        return value[1:-1]


def _parameter(parameters: dict[str, Any], value: str) -> list[str]:
    """Add a parameter to ``parameters``; its name, if it has no meaning here."""
    name, _, text = value.partition(" ")
    name, text = name.lower(), _unquoted(text.strip())
    if name not in _FIELDS and name not in KINDS:
        return [f"PARAMETER {name}"]
    if name == "stop":
        parameters["stop"] = [*parameters.get("stop", ()), text]
    else:
        parameters[name] = text
    return []


def _options(given: dict[str, Any]) -> Options:
    try:
        return msgspec.convert(given, Options, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"A parameter of the Modelfile is out of range: {error}") from error


def _message(value: str) -> Message:
    role, _, text = value.partition(" ")
    try:
        return msgspec.convert({"role": role.lower(), "content": _unquoted(text.strip())}, Message)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"A message of the Modelfile is of nobody: {role!r}") from error
