"""The terminal's commands, its history, its input and its pictures, on a pseudo-terminal and on pipes."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hugweb.pictures import pictures_taken
from hugweb.transcript import transcript_load, transcript_save
from inference.errors import InvalidRequest
from inference.protocol import Done, Event, Generate, Message, Request, Text, Timings, Usage
from tests.fakes import FakeEngine
from tests.hugweb.terminals import Terminal
from tests.serving import MODEL, PROJECT, environment, run_python

SEES = f"""
import django; django.setup()
from inference.models import ModelRecord
ModelRecord.objects.filter(name={MODEL!r}).update(capabilities=["completion", "vision"])
"""


def piped(
    home: Path, engine: FakeEngine, *arguments: str, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """``manage.py chat`` with neither end at a terminal."""
    return subprocess.run(
        [sys.executable, "manage.py", "chat", MODEL, *arguments],
        cwd=PROJECT,
        env=environment(home, {"ENGINE_ADDRESS": f"unix:{engine.address}"}),
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
    )


def asked(engine: FakeEngine) -> Generate:
    last = engine.requests[-1]
    assert isinstance(last, Generate)
    return last


def test_a_session_is_set_shown_cleared_saved_and_loaded(terminal: Terminal, engine: FakeEngine) -> None:
    terminal.wait_for(">>> ")
    for typed, said in (
        ("/set parameter temperature 0.5", ">>> "),
        ("/set parameter stop one two", ">>> "),
        ("/set system Be brief.", ">>> "),
        ("/set format json", ">>> "),
        ("/show parameters", "temperature"),
        ("/show system", "Be brief."),
        ("hello", "hello "),
    ):
        terminal.type(typed + "\n")
        terminal.wait_for(said)
    request = asked(engine)
    assert (request.options.temperature, request.options.stop) == (0.5, ("one", "two"))
    assert (request.format, request.messages[0].content) == ("json", "Be brief.")
    terminal.wait_for(">>> ")
    for typed, said in (
        ("/save mine", "Saved as mine."),
        ("/clear", "Forgotten."),
        ("/set noformat", ">>> "),
        ("afresh", "afresh "),
    ):
        terminal.type(typed + "\n")
        terminal.wait_for(said)
    assert [message.content for message in asked(engine).messages] == ["Be brief.", "afresh"]
    terminal.wait_for(">>> ")
    terminal.type("/load mine\n")
    terminal.wait_for("Chatting with mine.")
    terminal.type("again\n")
    terminal.wait_for("again ")
    request = asked(engine)
    assert [message.content for message in request.messages][-3:] == ["hello", "hello ", "again"]
    assert (request.model.name, request.options.temperature, request.format) == ("mine", 0.5, "json")


def test_what_cannot_be_done_is_said_and_the_chat_goes_on(home: Path, engine: FakeEngine) -> None:
    mistakes = {
        "/dance": "no command /dance",
        "/set parameter top_p 7": "top_p cannot be 7",
        "/set parameter dance 7": "Parameters are",
        "/set mood": "What can be set",
        "/show mood": "What can be shown",
        "/load org/gone": "not found",
        "/save": "invalid model name",
        "/?": "/set parameter NAME VALUE",
    }
    done = piped(home, engine, typed="".join(f"{typed}\nstill here\n" for typed in mistakes))
    *told, rest = done.stdout.split("still here")
    assert len(told) == len(mistakes)
    assert rest.strip() == ""
    for said, words in zip(told, mistakes.values(), strict=True):
        assert words in said
    assert done.returncode == 0


def test_text_of_several_lines_is_one_question(home: Path, engine: FakeEngine) -> None:
    piped(home, engine, typed='"""one\ntwo\n\nthree"""\n')
    assert asked(engine).messages[-1].content == "one\ntwo\n\nthree"


def test_history_is_kept_in_a_file_and_gone_on_with(home: Path, engine: FakeEngine, tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    piped(home, engine, "one", "--history", str(file), "--system", "Be brief.")
    piped(home, engine, "two", "--history", str(file))
    assert [(message["role"], message["content"]) for message in json.loads(file.read_text())] == [
        ("system", "Be brief."),
        ("user", "one"),
        ("assistant", "one "),
        ("user", "two"),
        ("assistant", "two "),
    ]
    assert [message.content for message in asked(engine).messages] == ["Be brief.", "one", "one ", "two"]


def test_a_history_that_is_none_is_one_line(home: Path, engine: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / "chat.json").write_text('{"not": "a list"}')
    done = piped(home, engine, "hi", "--history", str(tmp_path / "chat.json"))
    assert done.returncode == 1
    assert "holds no history" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_an_input_file_is_the_first_question(home: Path, engine: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("from a file\n")
    done = piped(home, engine, "--input-file", str(tmp_path / "in.txt"), typed="then this\n")
    assert [message.content for message in asked(engine).messages][::2] == ["from a file", "then this"]
    assert done.stdout.split() == ["from", "a", "file", "then", "this"]


def test_json_mode_tells_the_model_and_holds_it(home: Path, engine: FakeEngine) -> None:
    piped(home, engine, "hi", "--json-mode")
    assert asked(engine).format == "json"
    assert "JSON" in asked(engine).messages[0].content


def test_figures_follow_on_stderr(home: Path, engine: FakeEngine) -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        yield Text(text="yes")
        yield Done(
            reason="stop",
            usage=Usage(prompt=40, cached=10, completion=12),
            timings=Timings(completion=600_000_000),
        )

    engine.script = script
    done = piped(home, engine, "hi", "--stats")
    assert done.stdout == "yes\n"
    assert "12 tokens, 20.0 tokens/s, first token after" in done.stderr
    assert "10 of them known" in done.stderr


def test_pictures_go_along(home: Path, engine: FakeEngine, tmp_path: Path) -> None:
    picture = tmp_path / "a fox.png"
    picture.write_bytes(b"\x89PNG picture")
    refused = piped(home, engine, "what?", "--image", str(picture))
    assert refused.returncode == 1
    assert "does not support images" in refused.stderr.splitlines()[-1]
    run_python(SEES, home)
    piped(home, engine, "what?", "--image", str(picture))
    assert asked(engine).messages[-1].images == (b"\x89PNG picture",)
    piped(home, engine, f"what is '{picture}' here?")
    assert asked(engine).messages[-1].images == (b"\x89PNG picture",)
    assert asked(engine).messages[-1].content == "what is  here?"


def test_paths_of_pictures_that_are_there_are_taken_out(tmp_path: Path) -> None:
    (tmp_path / "a b.JPG").write_bytes(b"1")
    (tmp_path / "c.webp").write_bytes(b"2")
    escaped = str(tmp_path / "a b.JPG").replace(" ", "\\ ")
    said, pictures = pictures_taken(f"compare {escaped} with {tmp_path}/c.webp and {tmp_path}/gone.png")
    assert pictures == (b"1", b"2")
    assert said == f"compare  with  and {tmp_path}/gone.png"


@given(st.text(max_size=200))
def test_what_names_no_picture_stays_as_it_is(text: str) -> None:
    assert pictures_taken(text) == (text.strip(), ())


def test_a_history_with_pictures_comes_back(tmp_path: Path) -> None:
    messages = [Message(role="user", content="ü", images=(b"\x00\xff",))]
    transcript_save(tmp_path / "h.json", messages)
    assert transcript_load(tmp_path / "h.json") == messages
    assert base64.b64encode(b"\x00\xff").decode() in (tmp_path / "h.json").read_text()
    with pytest.raises(InvalidRequest, match="could not be written"):
        transcript_save(tmp_path / "no" / "h.json", messages)
