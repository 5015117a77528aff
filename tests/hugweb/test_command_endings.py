"""How commands end that cannot do their work: with a line that says what to do, and no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.db import OperationalError

from hugweb.database import database_problem
from tests.fakes import FakeEngine
from tests.serving import MODEL, PROJECT, engine_thread, environment, fill_home


def run(home: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env=environment(home, env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("endings")
    fill_home(home)
    return home


@pytest.mark.parametrize("command", ["list", "serve --port 0", "apikey list", "createsuperuser --noinput"])
def test_a_damaged_database_is_told_in_one_line(tmp_path: Path, command: str) -> None:
    (tmp_path / "db.sqlite3").write_text("not a database " * 100)
    done = run(tmp_path, *command.split())
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "The database cannot be used: file is not a database. Its file is damaged" in line
    assert str(tmp_path) not in line


def test_a_traceback_is_there_for_who_asks(tmp_path: Path) -> None:
    (tmp_path / "db.sqlite3").write_text("not a database " * 100)
    assert "Traceback" in run(tmp_path, "list", "--traceback").stderr


@pytest.mark.parametrize(
    ("said", "advice"),
    [("database or disk is full", "Make room"), ("unable to open database file", "may write")],
)
def test_what_to_do_depends_on_what_is_wrong(said: str, advice: str) -> None:
    text = database_problem(OperationalError(said))
    assert text.startswith(f"The database cannot be used: {said}. ")
    assert advice in text


def test_an_interrupt_ends_any_command_quietly(home: Path) -> None:
    done = run(home, "shell", "-c", "raise KeyboardInterrupt")
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize("order", [("one two", "--stats"), ("--stats", "one two")])
def test_the_prompt_of_a_chat_may_stand_anywhere(home: Path, tmp_path: Path, order: tuple[str, str]) -> None:
    with engine_thread(tmp_path / "engine.sock") as engine:
        done = chat(home, engine, *order)
    assert (done.returncode, done.stdout.strip()) == (0, "one two")
    assert "2 tokens" in done.stderr


def chat(home: Path, engine: FakeEngine, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(home, "chat", MODEL, *arguments, ENGINE_ADDRESS=f"unix:{engine.address}")


OURS = sorted(name for name, app in get_commands().items() if app == "hugweb")


@pytest.mark.parametrize("arguments", [*([name, "--nonsense"] for name in OURS), ["apikey", "create"]])
def test_wrong_arguments_are_told_in_one_line(arguments: list[str]) -> None:
    command = load_command_class("hugweb", arguments[0])
    with pytest.raises(SystemExit) as ended:
        command.run_from_argv(["manage.py", *arguments])
    # Python ends with exit code 1 and writes what is no number to stderr.
    said = str(ended.value.code)
    assert said.startswith("CommandError: ")
    assert said.endswith(f" `manage.py {arguments[0]} --help` tells what is allowed.")
    assert len(said.splitlines()) == 1
