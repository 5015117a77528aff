"""Every case of the list of what Ollama's clients need has a test that names it."""

from __future__ import annotations

import re

from tests.serving import PROJECT

CASES = 48


def test_every_case_is_named_by_a_test() -> None:
    named: set[int] = set()
    for file in (PROJECT / "tests").rglob("test_*.py"):
        for numbers in re.findall(r'"""(\d+(?:, \d+)*)(?::|""")', file.read_text()):
            named |= set(map(int, numbers.split(", ")))
    assert named == set(range(1, CASES + 1))
