"""The options that commands take for an alias or a chat, and what they mean to us.

The names are those of the mission's command line, which follow transformers; ours are Ollama's.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any, get_args

import msgspec

from aliases.models import DEVICE_HELP
from aliases.templates import template_checked
from inference.errors import InvalidRequest
from inference.protocol import LONGEST_GIVEN_TEMPLATE, Device, Dtype, Options

OPTIONS: dict[str, tuple[str, type, str]] = {
    "num_predict": ("--max-new-tokens", int, "most tokens of an answer"),
    "num_ctx": ("--ctx", int, "most tokens of prompt and answer; the oldest turns give way"),
    "temperature": ("--temperature", float, "0 for always the likeliest word, higher for more variety"),
    "top_k": ("--top-k", int, "choose among so many words"),
    "top_p": ("--top-p", float, "choose among words that are so likely together"),
    "min_p": ("--min-p", float, "leave out words less likely than this share of the likeliest"),
    "repeat_penalty": ("--repetition-penalty", float, "above 1 makes repeating less likely"),
    "presence_penalty": ("--presence-penalty", float, "less likely once said"),
    "frequency_penalty": ("--frequency-penalty", float, "less likely with each time said"),
    "seed": ("--seed", int, "same seed, same answer"),
}
FLAGS = {name: flag.lstrip("-").replace("-", "_") for name, (flag, _, _) in OPTIONS.items()}


def arguments_add(parser: ArgumentParser) -> None:
    """Everything that ``options_given``, ``loading_given`` and ``template_given`` read."""
    for name, (flag, kind, text) in OPTIONS.items():
        parser.add_argument(flag, dest=name, type=kind, help=text)
    parser.add_argument("--stop", action="append", help="end an answer before this text (repeatable)")
    parser.add_argument("--json-mode", action="store_true", default=None, help="answer with valid JSON")
    precision = parser.add_mutually_exclusive_group()
    for flag, value in (("--load-in-8bit", "int8"), ("--load-in-4bit", "int4")):
        precision.add_argument(
            flag, dest="quantization", action="store_const", const=value, help=f"weights in {value[3:]} bits"
        )
    parser.add_argument("--dtype", choices=get_args(Dtype), help="number format of the weights")
    parser.add_argument("--device", help="auto, cpu, mps, cuda, or cuda:1 for the second GPU")
    parser.add_argument("--template", help="chat template in Jinja, or the path of a file that holds one")


def options_given(given: dict[str, Any]) -> Options:
    """The options on a command line; ``InvalidRequest`` for one that is out of range."""
    named = {name: given[name] for name in OPTIONS if given.get(name) is not None}
    try:
        return msgspec.convert({**named, "stop": given.get("stop")}, Options)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"An option is out of range: {error}") from error


def loading_given(given: dict[str, Any]) -> dict[str, Any]:
    """How to load the model, as far as the command line says; ``InvalidRequest`` for no device."""
    named = {name: given[name] for name in ("quantization", "dtype", "device") if given.get(name)}
    try:
        msgspec.convert(named.get("device", "auto"), Device)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"There is no device '{named['device']}': {DEVICE_HELP}") from error
    return named


def template_given(given: dict[str, Any]) -> str:
    """The chat template on the command line, or in the file that it names; empty for none."""
    text: str = given.get("template") or ""
    if text and "{" not in text:
        text = _file_read(Path(text).expanduser())
    return template_checked(text)


def _file_read(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as opened:
            return opened.read(LONGEST_GIVEN_TEMPLATE + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} is neither a template nor a file that holds one.") from error
