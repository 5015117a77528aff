"""How a pull looks to people: bars in a terminal, lines where the output is a file.

Knows nothing of what is pulled and from where.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from inference.store import progress
from inference.store.progress import PullState

STEPS = {
    "asking": "Asking the Hub.",
    "fetching": "Downloading.",
    "checking": "Checking the files.",
    "converting": "Converting the model.",
}
# What a line says nothing about: it would be all there is to an error, or is said by the files.
SILENT = frozenset({"asking", "fetching"})
LONGEST_NAME = 40

Show = Callable[[PullState], object]


class Lines:
    """Says a line for each step, each note, and each file that is complete."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._said: set[str] = set()

    def show(self, state: PullState) -> None:
        if not isinstance(state, progress.Progress):
            return
        if state.total:
            self._once(f"Downloading {len(state.files)} files, {size_text(state.total)}.")
        for file in state.files:
            if file.done == file.size:
                self._once(f"{file.name}, {size_text(file.size)}.")
        if state.note or state.step not in SILENT:
            self._once(state.note or STEPS[state.step])

    def _once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._say(line)


class Bars:
    """A bar for all files, with speed and time left, and one for the file that is coming."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._all = bars.add_task(STEPS["asking"], total=None, rest="")
        self._file = bars.add_task("", visible=False, rest="")

    def show(self, state: PullState) -> None:
        if not isinstance(state, progress.Progress):
            return
        arriving = state.step == "fetching" and state.total > 0
        self._bars.update(
            self._all,
            description=state.note or STEPS[state.step],
            # Rich lets a bar without a total swing to and fro.
            total=state.total if arriving else None,
            completed=state.done if arriving else 0,
            rest=_rest(state) if arriving else "",
        )
        file = next((file for file in state.files if file.done < file.size), None)
        self._bars.update(self._file, visible=bool(arriving and file))
        if file:
            self._bars.update(
                self._file,
                description=f"  {file.name[-LONGEST_NAME:]}",
                total=file.size,
                completed=file.done,
                rest=f"{size_text(file.done)} of {size_text(file.size)}",
            )


@contextlib.contextmanager
def pull_display(console: Console) -> Iterator[Show]:
    """What shows a pull on ``console`` until it is over."""
    if not console.is_terminal:
        yield Lines(console.print).show
        return
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[rest]}")
    with Progress(*columns, console=console, transient=True) as bars:
        yield Bars(bars).show


def _rest(state: progress.Progress) -> str:
    text = f"{size_text(state.done)} of {size_text(state.total)}"
    if state.seconds_left is not None:
        text += f", {size_text(state.speed)}/s, {time_text(state.seconds_left)} left"
    return text


def size_text(size: float) -> str:
    """Bytes as people say them: ``1.2 GB``."""
    for unit in ("B", "kB", "MB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def time_text(seconds: float) -> str:
    """A time as people say it: ``1:23:45``, ``2:05``."""
    minutes, rest = divmod(round(min(seconds, 1e7)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
