"""Who may run which command: the person at the machine, whose home it is.

No command asks a server over the network, where a key would have to be shown: each reads the home, or
asks the engine over a socket in a folder that only its owner can enter. A command that is new, or one
that learns to reach further, fails here until it is said who may.
"""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from tests.serving import engine_thread, fill_home, manage, run_python

OURS = {"hugweb", "aliases", "conversations", "inference"}
HOME, ENGINE, LISTENS = "the home's files", "the engine's socket", "listens itself"
# What each command touches.
MATRIX = {
    "apikey": {HOME},
    "bench": {HOME, LISTENS},
    "cache": {HOME},
    "chat": {HOME, ENGINE},
    "config": {HOME},
    "create": {HOME},
    "list": {HOME},
    "ps": {HOME, ENGINE},
    "pull": {HOME},
    "rm": {HOME},
    "serve": {HOME, LISTENS},
    "show": {HOME},
    "stop": {HOME, ENGINE},
}
# Options that would name another server, or show a key to one.
FAR = {"host", "port", "url", "server", "base_url", "key", "token", "address"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    fill_home(home)
    return home


def own_commands() -> dict[str, str]:
    return {name: str(app) for name, app in get_commands().items() if str(app) in OURS}


def test_every_command_has_its_row() -> None:
    assert set(own_commands()) == set(MATRIX)


@pytest.mark.parametrize("name", sorted(MATRIX))
def test_no_command_reaches_another_server(name: str) -> None:
    parser = load_command_class(own_commands()[name], name).create_parser("manage.py", name)
    options = {action.dest for action in parser._actions}
    assert options & FAR == ({"host", "port"} if name == "serve" else set())


def test_the_home_is_its_owner_s_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    run_python("import django; django.setup()", home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", sorted(name for name, touched in MATRIX.items() if ENGINE in touched))
def test_the_engine_is_asked_without_a_key_whatever_the_server_listens_on(
    tmp_path: Path, name: str, home: Path
) -> None:
    """Its socket lies in the home: who gets there owns the machine's models anyway."""
    arguments = {"ps": (), "stop": ("test/model",), "chat": ("test/model", "Hello there")}[name]
    with engine_thread(tmp_path / "e.sock") as engine:
        env = {"ENGINE_ADDRESS": f"unix:{tmp_path}/e.sock", "HUGWEB_HOST": "0.0.0.0"}
        process = manage(name, *arguments, home=home, env=env)
        said = process.communicate(timeout=60)[0].decode()
        assert process.returncode == 0, said
        assert engine.requests or name == "ps"
