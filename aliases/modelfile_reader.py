"""Reads Ollama's Modelfiles: what an alias can be made of, and what of it has no meaning here.

Source: the grammar of Ollama's docs/modelfile.md. A template has to be Jinja, as models from the Hub
have them; adapters belong to GGUF models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from aliases.parameters import KINDS, loading_read
from aliases.services import Settings
from aliases.templates import template_checked
from inference.errors import InvalidRequest
from inference.protocol import Message, Options

LONGEST = 4_000_000
MARK, QUOTE = '"""', '"'
_LINE = re.compile(r"\s*([A-Za-z]+)[ \t]+(.*)", re.DOTALL)
_LEFT_OUT = {"adapter", "requires", "renderer", "parser", "draft"}
_KNOWN = {"from", "parameter", "system", "message", "license", "template"} | _LEFT_OUT
# Before their values stands what they are of: a name, a role.
_HEADED = {"parameter", "message"}
_FIELDS = {field.name: field.type for field in msgspec.structs.fields(Options)}


class Modelfile(NamedTuple):
    """The model it is made from, what is set, and the names of what was left out."""

    source: str
    settings: Settings
    left_out: tuple[str, ...]


class Instruction(NamedTuple):
    """One of a Modelfile: its name in lower case, the parameter or role that it is of, and its value."""

    name: str
    of: str
    value: str


def modelfile_read(text: str) -> Modelfile:
    """``text`` as an alias; ``InvalidRequest`` says where it is none."""
    if len(text) > LONGEST:
        raise InvalidRequest(f"The Modelfile is too long: at most {LONGEST} characters.")
    source, left_out = "", []
    fields: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    messages: list[Message] = []
    for name, of, value in _instructions(text):
        if name in _LEFT_OUT:
            left_out.append(name.upper())
        elif name == "from":
            source = value
        elif name == "parameter":
            left_out += _parameter(parameters, of.lower(), value)
        elif name == "template":
            fields[name] = template_checked(value)
        elif name == "message":
            messages.append(_message(of, value))
        else:
            fields[name] = value
    if not source:
        raise InvalidRequest("A Modelfile needs a line FROM that names a model.")
    fields |= loading_read(parameters)
    settings = Settings(**fields, options=_options(parameters), messages=tuple(messages) or None)
    return Modelfile(source, settings, tuple(dict.fromkeys(left_out)))


def _instructions(text: str) -> Iterator[Instruction]:
    # Not splitlines, which knows of ten more line ends that are no one's here.
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip() or line.lstrip().startswith("#"):
            at += 1
            continue
        match = _LINE.fullmatch(line)
        name = match[1].lower() if match else ""
        if not match or name not in _KNOWN:
            raise InvalidRequest(f"Line {at + 1} of the Modelfile is no instruction: {line.strip()[:60]!r}")
        of, first = _headed(match[2]) if name in _HEADED else ("", match[2])
        value, at = _value(first.lstrip(), lines, at)
        yield Instruction(name, of, value)


def _headed(text: str) -> tuple[str, str]:
    """The word that ``text`` begins with, and what comes after it."""
    head, *rest = text.split(maxsplit=1) or [""]
    return head, "".join(rest)


def _value(first: str, lines: Sequence[str], at: int) -> tuple[str, int]:
    """The value that begins with ``first`` in line ``at``, without its quotes; and the line after it.

    As in Ollama, what begins with three quotes goes on to the next line that ends with three, and what begins
    with one, the only one in its line, to the next one, if that is the end of a line.
    """
    if first.startswith(MARK):
        is_whole = _closes(first[len(MARK) :])
        end = at if is_whole else next((n for n in range(at + 1, len(lines)) if _closes(lines[n])), None)
        if end is None:
            raise InvalidRequest('Three quotes (""") of the Modelfile are never closed at the end of a line.')
        whole = "\n".join([first, *lines[at + 1 : end + 1]]).rstrip()
        return whole[len(MARK) : -len(MARK)], end + 1
    if first.startswith(QUOTE) and first.count(QUOTE) == 1:
        end = next((n for n in range(at + 1, len(lines)) if QUOTE in lines[n]), at)
        whole = "\n".join([first, *lines[at + 1 : end + 1]]).rstrip()
        if whole.count(QUOTE) == 2 and whole.endswith(QUOTE):
            return whole[1:-1], end + 1
    return _unquoted(first.rstrip()), at + 1


def _closes(line: str) -> bool:
    """Whether three quotes end ``line``."""
    return line.rstrip().endswith(MARK)


def _unquoted(value: str) -> str:
    """``value`` without its quotes; what ``aliases.modelfile`` writes is quoted as in JSON."""
    if len(value) < 2 or not value[0] == value[-1] == '"':
        return value
    try:
        return msgspec.json.decode(value, type=str)
    except msgspec.DecodeError:
        return value[1:-1]


def _parameter(parameters: dict[str, Any], name: str, value: str) -> list[str]:
    """Add a parameter to ``parameters``; its name, if it has no meaning here."""
    if name not in _FIELDS and name not in KINDS:
        return [f"PARAMETER {name}"]
    if name == "stop":
        parameters["stop"] = [*parameters.get("stop", ()), value]
    else:
        parameters[name] = value
    return []


def _options(given: dict[str, Any]) -> Options:
    try:
        return msgspec.convert(given, Options, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"A parameter of the Modelfile is out of range: {error}") from error


def _message(role: str, text: str) -> Message:
    try:
        return msgspec.convert({"role": role.lower(), "content": text}, Message)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"A message of the Modelfile is of nobody: {role!r}") from error
