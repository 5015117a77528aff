"""Settings that are wrong end the start with one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hugweb.env import SettingError, read
from tests.serving import run_python

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL", "mysql://localhost/x"),
        ("DATABASE_URL", "postgres://localhost"),
        ("DATABASE_URL", "sqlite:///"),
        ("ENGINE_ADDRESS", "tcp:1"),
        ("ENGINE_ADDRESS", "unix:"),
        ("HUGWEB_PUBLIC_URL", "http://chat.test"),
        ("HUGWEB_PUBLIC_URL", "https://chat.test/path"),
        ("HUGWEB_MAX_BODY", "many"),
        ("OLLAMA_ORIGINS", "chat.test"),
        ("OLLAMA_ORIGINS", "https://chat.test,not an origin"),
        ("OLLAMA_ORIGINS", "https://chat.test/path"),
    ],
)
def test_the_line_names_the_variable_its_value_and_what_is_allowed(name: str, wrong: str) -> None:
    with pytest.raises(SettingError) as error:
        read({name: wrong})
    assert name in str(error.value)
    assert wrong in str(error.value)
    assert "allowed is" in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgres://user:pass@db.test:5432/hugweb?sslmode=require"),
        ("DATABASE_URL", "postgresql://user@//run/postgresql/hugweb"),
        ("DATABASE_URL", "sqlite:////srv/db.sqlite3"),
        ("ENGINE_ADDRESS", "unix:/run/engine.sock"),
        ("HUGWEB_PUBLIC_URL", "https://chat.test:8443"),
    ],
)
def test_what_is_right_is_taken(name: str, value: str) -> None:
    assert read({name: value})[name] == value


def test_origins_are_taken_as_browsers_send_them() -> None:
    written = "https://chat.test/, app://obsidian.md*, chrome-extension://, *"
    found = read({"OLLAMA_ORIGINS": written})["OLLAMA_ORIGINS"]
    assert found == ("https://chat.test", "app://obsidian.md*", "chrome-extension://", "*")


def test_a_home_that_cannot_be_is_one_line_too() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "list"],
        cwd=ROOT,
        env={**os.environ, "HUGWEB_HOME": "/dev/null/x"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "HUGWEB_HOME is '/dev/null/x'" in done.stderr


def test_a_home_may_have_any_name(tmp_path: Path) -> None:
    home = tmp_path / "a+b c%20é"
    shown = run_python("from hugweb.settings import DATABASES; print(DATABASES['default']['NAME'])", home)
    assert shown.strip() == str(home / "db.sqlite3")
