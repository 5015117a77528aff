"""``manage.py chat MODEL``: a chat in the terminal, through the running server's engine or its own."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from msgspec.structs import replace

from aliases.arguments import arguments_add, loading_given, options_given, template_given
from aliases.selectors import alias_resolve
from aliases.target import Target, asking_for_json
from hugweb.database import database_prepare
from hugweb.interrupts import run_until_ctrl_c
from hugweb.management.command import HugWebCommand
from hugweb.pictures import picture_read
from hugweb.repl import Repl
from hugweb.supervise import EngineSupervisor
from hugweb.terminal import TerminalChat
from hugweb.transcript import transcript_load
from inference.errors import InferenceError
from inference.protocol import JSON, Load
from inference.providers.registry import get_provider
from inference.usage.recorder import RECORDER

LONGEST_INPUT = 4_000_000


class Command(HugWebCommand):
    help = "Chat with a model in the terminal."
    requires_system_checks = ()

    def create_parser(self, *args: Any, **given: Any) -> CommandParser:
        parser = super().create_parser(*args, **given)
        # The prompt may come after options, too; by itself argparse takes it only right after the model.
        parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", help="an alias or a model's id")
        parser.add_argument("prompt", nargs="?", help="answer this and end")
        parser.add_argument("--system", default="", help="system prompt")
        parser.add_argument(
            "--history", metavar="FILE.json", help="go on from this file, and keep the chat in it"
        )
        parser.add_argument("--input-file", metavar="FILE", help="begin with what this text file says")
        parser.add_argument(
            "--image",
            action="append",
            default=[],
            metavar="PATH",
            help="a picture for the first question (repeatable); `sample` is one that comes with HugWeb",
        )
        parser.add_argument(
            "--stats", action="store_true", help="tokens, tokens/s and time to the first token"
        )
        parser.add_argument("--force", action="store_true", help="load it although it seems not to fit")
        arguments_add(parser)

    def handle(self, *args: Any, **given: Any) -> None:
        database_prepare(self.stderr.write)
        try:
            target = alias_resolve(given["model"])
            chat = _session(target, given)
            first = _first_question(given["prompt"] or "", given["input_file"])
            pictures = tuple(map(picture_read, given["image"]))
            with RECORDER.running(), _engine(target):
                if given["force"]:
                    with asyncio.Runner() as runner:
                        run_until_ctrl_c(_load(chat), runner)
                if first or pictures:
                    chat.answer(first, pictures)
                if not given["prompt"]:
                    Repl(chat, target).run()
        except InferenceError as error:
            raise CommandError(_advised(error.message, given["model"])) from error
        except KeyboardInterrupt:
            sys.exit(130)


async def _load(chat: TerminalChat) -> None:
    """Load the model, whatever is thought of its size."""
    async with contextlib.aclosing(chat.stream(Load(model=chat.model, force=True))) as events:
        async for _ in events:
            pass


def _session(target: Target, given: dict[str, Any]) -> TerminalChat:
    """A chat by the alias's defaults, with what the command line says over them."""
    chat = TerminalChat(target)
    chat.options = options_given(given).over(target.options)
    chat.stats = given["stats"]
    chat.model = replace(chat.model, **loading_given(given))
    chat.template = template_given(given) or chat.template
    if given["history"]:
        chat.file = Path(given["history"]).expanduser()
        chat.history = transcript_load(chat.file)
        if chat.history and chat.history[0].role == "system":
            chat.system = chat.history.pop(0).content
    chat.system = given["system"] or chat.system
    if given["json_mode"]:
        chat.format, chat.system = JSON, asking_for_json(chat.system)
    return chat


def _first_question(prompt: str, path: str | None) -> str:
    """What the file says, then ``prompt``."""
    if not path:
        return prompt
    try:
        with Path(path).expanduser().open(encoding="utf-8") as file:
            text = file.read(LONGEST_INPUT + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read as text.") from error
    if len(text) > LONGEST_INPUT:
        raise CommandError(f"{path} is too long: at most {LONGEST_INPUT} characters are read.")
    return f"{text.strip()}\n\n{prompt}".strip()


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
