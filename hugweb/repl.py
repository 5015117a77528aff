"""What people type in the terminal's chat: questions, over one line or several, and commands.

Ctrl-C during an answer stops the answer; at the prompt it, Ctrl-D and ``/bye`` end the session.
The commands are those of Ollama's terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
from msgspec import structs

from aliases.modelfile import modelfile_text, parameters_text
from aliases.selectors import alias_resolve
from aliases.services import Settings, alias_create
from aliases.target import Target
from hugweb.interrupts import run_until_ctrl_c
from hugweb.terminal import TerminalChat
from inference.errors import InferenceError, InvalidRequest
from inference.protocol import JSON, Options
from inference.store.contents import template_of

with contextlib.suppress(ImportError):
    import readline  # noqa: F401 (input() then edits and remembers lines)

GOODBYES = frozenset({"/bye", "/exit", "/quit"})
PROMPT, MORE, MARK = ">>> ", "... ", '"""'
HELP = """\
/set parameter NAME VALUE   an option, such as temperature 0.5 or stop "a" "b"
/set system TEXT            the system prompt
/set format json            every answer is JSON; /set noformat ends that
/set verbose                figures after each answer; /set quiet ends that
/show info|parameters|system|modelfile|template|license
/load NAME                  go on with another model or alias, from the beginning
/save NAME                  keep this session as an alias
/clear                      forget what was said
/bye                        end; so do Ctrl-D and Ctrl-C
\"""                         begin and end text of several lines"""
_FIELDS = {field.name: field.type for field in structs.fields(Options)}


class Repl:
    """Reads from the person and acts, until they have had enough."""

    def __init__(self, chat: TerminalChat, target: Target) -> None:
        self.chat, self.target = chat, target
        self._console = chat.console
        self._commands: dict[str, Callable[[str], None]] = {
            "/set": self._set,
            "/show": self._show,
            "/load": self._load,
            "/save": self._save,
            "/clear": self._clear,
            "/?": self._help,
            "/help": self._help,
        }

    def run(self) -> None:
        """Ask and answer."""
        name = self.chat.model.name
        self.chat.aside.print(f"[dim]Chatting with {name}. /? tells more, Ctrl-C stops an answer.[/dim]")
        with asyncio.Runner() as runner:
            while (said := self._ask()) not in GOODBYES:
                if said:
                    self._act(runner, said)

    def _ask(self) -> str:
        try:
            return self._lines().strip()
        except (EOFError, KeyboardInterrupt):
            self._console.print()
            return "/bye"

    def _lines(self) -> str:
        """A line, or all the lines between two marks."""
        line = self._input(PROMPT)
        if not line.lstrip().startswith(MARK):
            return line
        text = line.lstrip()[len(MARK) :]
        while not text.rstrip().endswith(MARK):
            text += "\n" + self._input(MORE)
        return text.rstrip().removesuffix(MARK)

    def _input(self, prompt: str) -> str:
        return input(prompt if self._console.is_terminal else "")

    def _act(self, runner: asyncio.Runner, said: str) -> None:
        name, _, rest = said.partition(" ")
        try:
            if command := self._commands.get(name):
                command(rest.strip())
            elif name.startswith("/") and "/" not in name[1:] and "." not in name:
                raise InvalidRequest(f"There is no command {name}. /? lists them.")
            else:
                run_until_ctrl_c(self.chat.turn(said), runner)
        except KeyboardInterrupt:
            self._console.print("\n[dim]Stopped.[/dim]")
        except InferenceError as error:
            self._console.print(error.message, style="red", markup=False)

    def _set(self, rest: str) -> None:
        what, _, value = rest.partition(" ")
        value = value.strip()
        match what:
            case "parameter":
                self._set_parameter(value)
            case "system":
                self.chat.system = value.strip('"')
            case "format" if value == JSON:
                self.chat.format = JSON
            case "noformat":
                self.chat.format = ""
            case "verbose" | "quiet":
                self.chat.stats = what == "verbose"
            case _:
                raise InvalidRequest(
                    "What can be set: parameter, system, format json, noformat, verbose, quiet."
                )

    def _set_parameter(self, given: str) -> None:
        name, _, text = given.partition(" ")
        if name not in _FIELDS or not text.strip():
            raise InvalidRequest(f"Parameters are: {', '.join(sorted(_FIELDS))}.")
        values = [value.strip('"') for value in text.split()]
        try:
            value = msgspec.convert(values if name == "stop" else values[0], _FIELDS[name], strict=False)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"{name} cannot be {text.strip()}: {error}") from error
        self.chat.options = structs.replace(self.chat.options, **{name: value})

    def _show(self, what: str) -> None:
        chat, alias = self.chat, self.target.alias
        shown = {
            "info": lambda: (
                f"{chat.model.name}: {self.target.record.name}, {self.target.record.architecture}"
            ),
            "parameters": lambda: parameters_text(chat.options),
            "system": lambda: chat.system,
            "template": lambda: chat.template or template_of(self.target.record.path),
            "license": lambda: alias.license if alias else "",
            "modelfile": lambda: modelfile_text(self.target, chat.template, ""),
        }
        if what not in shown:
            raise InvalidRequest(f"What can be shown: {', '.join(shown)}.")
        self._console.print(shown[what]() or "Nothing is set.", markup=False)

    def _load(self, name: str) -> None:
        self.target = alias_resolve(name)
        self.chat.become(self.target)
        self._console.print(f"Chatting with {self.chat.model.name}.", markup=False)

    def _save(self, name: str) -> None:
        chat = self.chat
        settings = Settings(
            system=chat.system,
            options=chat.options,
            messages=(*chat.first, *chat.history),
            quantization=chat.model.quantization,
            dtype=chat.model.dtype,
            device=chat.model.device,
            template=chat.template,
            json_mode=chat.format == JSON,
        )
        alias = alias_create(name=name, source=self.target.model.name, settings=settings)
        self._console.print(f"Saved as {alias.name}.", markup=False)

    def _clear(self, rest: str) -> None:
        self.chat.history.clear()
        self._console.print("Forgotten.")

    def _help(self, rest: str) -> None:
        self._console.print(HELP, markup=False)
