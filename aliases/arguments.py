"""The options that commands take for an alias or a chat, and what they mean to us.

The names are those of the mission's command line, which follow transformers; ours are Ollama's.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import msgspec

from inference.errors import InvalidRequest
from inference.protocol import Options, Quantization

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
    """Everything that ``options_given`` and ``quantization_given`` read."""
    for name, (flag, kind, text) in OPTIONS.items():
        parser.add_argument(flag, dest=name, type=kind, help=text)
    parser.add_argument("--stop", action="append", help="end an answer before this text (repeatable)")
    parser.add_argument("--json-mode", action="store_true", default=None, help="answer with valid JSON")
    precision = parser.add_mutually_exclusive_group()
    for flag, value in (("--load-in-8bit", "int8"), ("--load-in-4bit", "int4")):
        precision.add_argument(
            flag, dest="quantization", action="store_const", const=value, help=f"weights in {value[3:]} bits"
        )


def options_given(given: dict[str, Any]) -> Options:
    """The options on a command line; ``InvalidRequest`` for one that is out of range."""
    named = {name: given[name] for name in OPTIONS if given.get(name) is not None}
    try:
        return msgspec.convert({**named, "stop": given.get("stop")}, Options)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"An option is out of range: {error}") from error


def quantization_given(given: dict[str, Any]) -> Quantization | None:
    """The precision on a command line, if any."""
    found: Quantization | None = given.get("quantization")
    return found
