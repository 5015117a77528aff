"""Ollama's own command line, which is written in Go and in no package: what it asks, in its order.

From Ollama's source, ``cmd/cmd.go`` and ``api/client.go`` as of v0.33: the fields that Go's encoder always
sends, the headers, and the types that its decoder takes; with another type the command would fail. A
request that fails ends the command with exit code 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, TypeVar

import httpx
import msgspec
import pytest
from msgspec import Struct

from inference.protocol import Done, Generate, Load, LoadedModel, Text, Thought, Timings, Unload, Usage
from tests.api.stage import Stage
from tests.serving import MODEL

T = TypeVar("T")
AGENT = "ollama/0.33.0 (amd64 linux) Go/go1.26.0"
# What it prints of an answer with --verbose, in the order of its lines.
TIMES = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


class CommandError(Exception):
    """The command prints this after ``Error:`` and ends with exit code 1."""

    def __init__(self, message: str, status: int = 200) -> None:
        super().__init__(message)
        self.status = status


class Listed(Struct, kw_only=True):
    name: str
    digest: str
    size: int
    modified_at: datetime
    remote_model: str = ""


class Running(Struct, kw_only=True):
    name: str
    digest: str
    size: int
    size_vram: int
    context_length: int
    expires_at: datetime


class Details(Struct, kw_only=True):
    family: str = ""
    parameter_size: str = ""
    quantization_level: str = ""


class Shown(Struct, kw_only=True):
    details: Details
    capabilities: list[str]
    model_info: dict[str, Any]
    modelfile: str = ""
    parameters: str = ""
    template: str = ""
    system: str = ""
    license: str = ""
    messages: list[dict[str, Any]] = []
    remote_host: str = ""


class Answered(Struct, kw_only=True):
    model: str
    created_at: datetime
    response: str
    done: bool
    thinking: str = ""
    done_reason: str = ""
    context: list[int] = []
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0


class Pulling(Struct, kw_only=True):
    status: str
    digest: str = ""
    total: int = 0
    completed: int = 0


class CommandLine:
    """The commands. Each looks first whether a server is there."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=20)

    def ask(self, method: str, path: str, body: Any = None) -> bytes:
        answer = self._http.request(method, path, content=self._encoded(body), headers=headers("json"))
        if answer.status_code >= 400:
            raise CommandError(answer.json()["error"], answer.status_code)
        return answer.content

    def stream(self, path: str, body: Any, kind: type[T]) -> Iterator[T]:
        content, sent = self._encoded(body), headers("x-ndjson")
        with self._http.stream("POST", path, content=content, headers=sent) as answer:
            for line in answer.iter_lines():
                told = json.loads(line)
                if answer.status_code >= 400 or told.get("error"):
                    raise CommandError(told["error"], answer.status_code)
                yield msgspec.json.decode(line, type=kind)

    def _encoded(self, body: Any) -> bytes | None:
        return None if body is None else json.dumps(body).encode()

    def heartbeat(self) -> None:
        assert self.ask("HEAD", "/") == b""

    def list(self, prefix: str = "") -> list[tuple[str, str]]:
        self.heartbeat()
        models = msgspec.json.decode(self.ask("GET", "/api/tags"), type=dict[str, list[Listed]])["models"]
        return [(each.name, each.digest[:12]) for each in models if each.name.lower().startswith(prefix)]

    def ps(self) -> list[tuple[str, str, int]]:
        self.heartbeat()
        models = msgspec.json.decode(self.ask("GET", "/api/ps"), type=dict[str, list[Running]])["models"]
        return [(each.name, processor(each), each.context_length) for each in models]

    def info(self, *, name: str = "", model: str = "", verbose: bool = False) -> Shown:
        body = {
            "model": model,
            "system": "",
            "template": "",
            "verbose": verbose,
            "options": None,
            "name": name,
        }
        return msgspec.json.decode(self.ask("POST", "/api/show", body), type=Shown)

    def show(self, name: str, *, verbose: bool = False) -> Shown:
        self.heartbeat()
        return self.info(name=name, verbose=verbose)

    def generate(self, model: str, *, options: dict[str, Any] | None = None, **more: Any) -> list[Answered]:
        body = {"model": model, "prompt": "", "suffix": "", "system": "", "template": "", "options": options}
        return list(self.stream("/api/generate", body | more, Answered))

    def run(self, model: str, prompt: str, *, think: Any = None, **more: Any) -> list[Answered]:
        """``ollama run MODEL PROMPT``, its output in a pipe."""
        self.heartbeat()
        try:
            shown = self.info(model=model)
        except CommandError as error:
            if error.status != 404:
                raise
            self.pulled(model)
            shown = self.info(model=model)
        if think is None and "thinking" in shown.capabilities:
            think = True
        given = more if think is None else {**more, "think": think}
        return self.generate(model, options={}, prompt=prompt, **given)

    def unload(self, model: str) -> None:
        self.info(model=model)
        self.generate(model, keep_alive="0s")

    def stop(self, model: str) -> None:
        self.heartbeat()
        try:
            self.unload(model)
        except CommandError as error:
            if "not found" in str(error):
                raise CommandError(f'couldn\'t find model "{model}" to stop') from error
            raise

    def cp(self, source: str, destination: str) -> None:
        self.heartbeat()
        self.ask("POST", "/api/copy", {"source": source, "destination": destination})

    def rm(self, model: str) -> str:
        self.heartbeat()
        warning = ""
        try:
            self.unload(model)
        except CommandError as error:
            warning = "" if "not found" in str(error).lower() else "Warning"
        self.ask("DELETE", "/api/delete", {"model": "", "name": model})
        return warning

    def pulled(self, name: str) -> list[Pulling]:
        body = {"model": "", "username": "", "password": "", "name": name}
        return list(self.stream("/api/pull", body, Pulling))

    def pull(self, name: str) -> list[Pulling]:
        self.heartbeat()
        return self.pulled(name)


def headers(accept: str) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "Accept": f"application/{accept}",
        "User-Agent": AGENT,
        "Accept-Encoding": "gzip",
    }


def processor(model: Running) -> str:
    if model.size_vram == 0:
        return "100% CPU"
    return "100% GPU" if model.size_vram == model.size else "some of each"


@pytest.fixture
def command(stage: Stage) -> CommandLine:
    return CommandLine(stage.server.url)


def test_lists_and_shows(stage: Stage, command: CommandLine) -> None:
    """46"""
    listed = dict(command.list())
    assert f"{MODEL}:latest" in listed
    assert all(len(digest) == 12 for digest in listed.values())
    assert set(dict(command.list("test/t"))) == {"test/tools:latest", "test/thinker:latest"}
    shown = command.show(MODEL)
    architecture = shown.model_info["general.architecture"]
    assert (architecture, shown.capabilities) == ("llama", ["completion"])
    assert isinstance(shown.model_info[f"{architecture}.context_length"], int)
    assert shown.details.parameter_size and shown.details.quantization_level
    assert f"FROM {MODEL}" in shown.modelfile
    assert command.show(MODEL, verbose=True).model_info.keys() >= shown.model_info.keys()
    with pytest.raises(CommandError, match="^model 'nope:latest' not found$"):
        command.show("nope")


def test_shows_what_runs_and_stops_it(stage: Stage, command: CommandLine) -> None:
    stage.engine.models = (
        LoadedModel(
            name=MODEL, state="ready", device="cpu", size=9, context_length=512, expires_in=30, active=0
        ),
    )
    assert command.ps() == [(f"{MODEL}:latest", "100% CPU", 512)]
    stage.engine.models = ()
    assert command.ps() == []
    stage.engine.requests.clear()
    command.stop(MODEL)
    assert [type(asked) for asked in stage.engine.requests] == [Unload]
    with pytest.raises(CommandError, match='^couldn\'t find model "nope" to stop$'):
        command.stop("nope")


def test_runs_and_prints_figures(stage: Stage, command: CommandLine) -> None:
    usage, second = Usage(prompt=5, completion=2), 1_000_000_000
    timings = Timings(total=4 * second, load=second, prompt=second, completion=2 * second)
    stage.plays(Text(text="Hi "), Text(text="you"), Done(reason="stop", usage=usage, timings=timings))
    answers = command.run(MODEL, "Say hi")
    assert "".join(answer.response for answer in answers) == "Hi you"
    last = answers[-1]
    assert [answer.done for answer in answers] == [False] * (len(answers) - 1) + [True]
    assert [getattr(last, name) / second for name in TIMES] == [4, 1, 1, 2]
    assert (last.prompt_eval_count, last.eval_count, last.done_reason) == (5, 2, "stop")
    asked = stage.engine.requests[-1]
    assert isinstance(asked, Generate)
    assert (asked.messages[-1].content, asked.format, asked.template) == ("Say hi", "", "")


def test_runs_with_what_the_flags_say(stage: Stage, command: CommandLine) -> None:
    """``--format json --think=low --keepalive 10m``"""
    stage.plays(Thought(text="Hm."), Text(text='{"a": 1}'), Done(reason="stop"))
    answers = command.run("test/thinker", "x", think="low", format="json", keep_alive="10m0s")
    assert "".join(answer.thinking for answer in answers) == "Hm."
    asked = stage.engine.requests[-1]
    assert isinstance(asked, Generate)
    assert (asked.think, asked.format, asked.keep_alive) == ("low", "json", 600)
    command.run("test/thinker", "x")
    asked = stage.engine.requests[-1]
    assert isinstance(asked, Generate) and asked.think is True
    command.generate(MODEL, keep_alive="5m0s")
    assert isinstance(stage.engine.requests[-1], Load), "before it asks for a first prompt"


def test_copies_and_removes(stage: Stage, command: CommandLine) -> None:
    command.cp(MODEL, "copied")
    assert "copied:latest" in dict(command.list())
    assert command.rm("copied") == ""
    assert "copied:latest" not in dict(command.list())
    with pytest.raises(CommandError, match="model 'copied' not found"):
        command.rm("copied")
    with pytest.raises(CommandError, match='model "nope" not found'):
        command.cp("nope", "other")


def test_what_cannot_be_pulled_ends_the_command(stage: Stage, command: CommandLine) -> None:
    for ask in (command.pull, lambda name: command.run(name, "x")):
        with pytest.raises(CommandError, match=".{20}"):
            ask("nobody/nothing")
        with pytest.raises(CommandError, match="not found|does not exist|no model"):
            ask("nope")
