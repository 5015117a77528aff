"""Places go to whoever has the fewest of them, and each is taken once."""

from __future__ import annotations

import threading

import pytest

from hugweb.api.fairness import FairPlaces
from tests.serving import eventually


class Crowd:
    """People in threads, each of whom stays until somebody says to leave."""

    def __init__(self, places: FairPlaces) -> None:
        self._places = places
        self._threads: list[threading.Thread] = []
        # In which order they had a place, and what ends it.
        self._came: list[tuple[str, threading.Event]] = []

    @property
    def names(self) -> list[str]:
        return [who for who, _ in list(self._came)]

    def come(self, who: str) -> None:
        """``who`` comes, and has a place or is in line."""
        self._threads.append(threading.Thread(target=self._be_there, args=(who,)))
        self._threads[-1].start()
        self._settle()

    def leave(self, number: int) -> None:
        """Whoever was that number to have a place leaves it, and the next one has it."""
        waiting = len(self._places.line())
        self._came[number][1].set()
        eventually(lambda: len(self._places.line()) == max(0, waiting - 1), lambda: f"{self.names}")
        self._settle()

    def end(self) -> None:
        """All have had a place."""
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _be_there(self, who: str) -> None:
        end = threading.Event()
        with self._places.place(who):
            self._came.append((who, end))
            end.wait(60)

    def _settle(self) -> None:
        def is_settled() -> bool:
            return len(self._came) + len(self._places.line()) == len(self._threads)

        eventually(is_settled, lambda: f"{self.names}")


def test_who_has_many_keeps_another_waiting_for_one_place_only() -> None:
    crowd = Crowd(FairPlaces(2))
    for who in ("many", "many", "many", "many", "other", "many", "third"):
        crowd.come(who)
    assert crowd.names == ["many", "many"]
    for number in range(7):
        crowd.leave(number)
    crowd.end()
    assert crowd.names == ["many", "many", "other", "many", "third", "many", "many"]


def test_a_place_is_free_again_also_after_an_error() -> None:
    places = FairPlaces(1)
    with pytest.raises(OSError, match="broken"), places.place("one"):
        raise OSError("broken")
    with places.place("other"):
        assert places.line() == []
