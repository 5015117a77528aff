"""``manage.py chat MODEL``: a chat in the terminal, through the running server's engine or its own."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError
from msgspec.structs import replace

from aliases.selectors import Target, alias_resolve
from hugweb.database import database_prepare
from hugweb.supervise import EngineSupervisor
from hugweb.terminal import TerminalChat
from inference.errors import InferenceError
from inference.protocol import Load, ModelRef, Options, Quantization
from inference.providers.registry import get_provider
from inference.usage.recorder import RECORDER

OPTIONS = {
    "num_predict": ("--max-new-tokens", int, "most tokens of an answer"),
    "num_ctx": ("--ctx", int, "most tokens of prompt and answer together"),
    "temperature": ("--temperature", float, "0 for always the likeliest word, higher for more variety"),
    "top_k": ("--top-k", int, "choose among so many words"),
    "top_p": ("--top-p", float, "choose among words that are so likely together"),
    "seed": ("--seed", int, "same seed, same answer"),
}


class Command(BaseCommand):
    help = "Chat with a model in the terminal."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", help="an alias or a model's id")
        parser.add_argument("prompt", nargs="?", help="answer this and end")
        parser.add_argument("--system", default="", help="system prompt")
        precision = parser.add_mutually_exclusive_group()
        for flag, value in (("--load-in-8bit", "int8"), ("--load-in-4bit", "int4")):
            precision.add_argument(flag, dest="quantization", action="store_const", const=value)
        parser.add_argument("--force", action="store_true", help="load it although it seems not to fit")
        parser.add_argument("--stop", action="append", help="end an answer before this text (repeatable)")
        for name, (flag, kind, text) in OPTIONS.items():
            parser.add_argument(flag, dest=name, type=kind, help=text)

    def handle(self, *args: Any, **given: Any) -> None:
        database_prepare(self.stderr.write)
        try:
            target = alias_resolve(given["model"])
            session = TerminalChat(
                stream=get_provider(target.provider).stream,
                model=_quantized(target.model, given["quantization"]),
                options=_options(given).over(target.options),
                system=given["system"] or target.system,
            )
            with RECORDER.running(), _engine(target):
                if given["force"]:
                    asyncio.run(_load(session))
                _converse(session, given["prompt"])
        except InferenceError as error:
            raise CommandError(_advised(error.message, given["model"])) from error
        except KeyboardInterrupt:
            sys.exit(130)


async def _load(session: TerminalChat) -> None:
    """Load the model, whatever is thought of its size."""
    async with contextlib.aclosing(session.stream(Load(model=session.model, force=True))) as events:
        async for _ in events:
            pass


def _converse(session: TerminalChat, prompt: str | None) -> None:
    if prompt:
        session.answer(prompt)
    else:
        session.run()


def _quantized(model: ModelRef, wanted: Quantization | None) -> ModelRef:
    return replace(model, quantization=wanted) if wanted else model


def _options(given: dict[str, Any]) -> Options:
    """The options of the command line; ``CommandError`` for one that is out of range."""
    named = {name: given[name] for name in OPTIONS if given[name] is not None}
    try:
        return msgspec.convert({**named, "stop": given["stop"]}, Options)
    except msgspec.ValidationError as error:
        raise CommandError(f"An option is out of range: {error}") from error


@contextlib.contextmanager
def _engine(target: Target) -> Iterator[None]:
    """An engine while the block runs: the server's if one listens, else our own."""
    if asyncio.run(get_provider(target.provider).healthy()):
        yield
        return
    # Its messages would stand between question and answer.
    supervisor = EngineSupervisor(log_level="warning")
    supervisor.start()
    try:
        yield
    finally:
        supervisor.stop()


def _advised(message: str, name: str) -> str:
    if message == f"model '{name}' not found":
        return f"{message}. Get it with `manage.py pull`, or the starter with `manage.py pull starter`."
    return message
