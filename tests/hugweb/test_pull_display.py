from __future__ import annotations

import io

import pytest
from rich.console import Console

from hugweb.pull_display import Lines, pull_display, size_text, time_text
from inference.store.progress import FileProgress, Progress

HALF = (FileProgress("config.json", 500, 500), FileProgress("model.safetensors", 2_000_000_000, 10**9))
WHOLE = (FileProgress("config.json", 500, 500), FileProgress("model.safetensors", 2_000_000_000, 2 * 10**9))


def test_lines_say_each_thing_once() -> None:
    said: list[str] = []
    lines = Lines(said.append)
    for state in (
        Progress(),
        Progress("fetching", HALF),
        Progress("fetching", HALF, note="The connection broke off: trying again."),
        Progress("fetching", HALF, speed=1.0),
        Progress("checking", WHOLE),
    ):
        lines.show(state)
    assert said == [
        "Downloading 2 files, 2.0 GB.",
        "config.json, 500 B.",
        "The connection broke off: trying again.",
        "model.safetensors, 2.0 GB.",
        "Checking the files.",
    ]


def test_an_error_stays_the_only_line() -> None:
    said: list[str] = []
    Lines(said.append).show(Progress("asking"))
    assert said == []


def test_a_terminal_shows_both_bars_with_speed_and_time_left() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=160, color_system=None)
    with pull_display(console) as show:
        show(Progress("fetching", HALF, speed=20_000_000.0))
    shown = screen.getvalue()
    assert "Downloading." in shown
    assert "1.0 GB of 2.0 GB, 20 MB/s, 0:50 left" in shown
    assert "model.safetensors" in shown


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (273_000_000, "273 MB"),
        (999_600_000, "1.0 GB"),
        (1e13, "10000.0 GB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (125, "2:05"), (5025, "1:23:45")])
def test_times(seconds: float, text: str) -> None:
    assert time_text(seconds) == text
