from __future__ import annotations

import pytest

from inference.durations import UNITS, duration


@pytest.mark.parametrize("unit", UNITS)
def test_each_unit_is_read_also_the_two_letters_that_look_like_one(unit: str) -> None:
    assert duration(f"2{unit}") == 2 * UNITS[unit]
    assert duration(f"1h1.5{unit}") == 3600 + 1.5 * UNITS[unit]


@pytest.mark.parametrize(
    ("value", "seconds"), [("90", 90.0), ("1h30m", 5400.0), ("1m300ms", 60.3), ("-1m", -1.0), ("-7", -1.0)]
)
def test_numbers_are_seconds_and_what_is_negative_is_for_ever(value: str, seconds: float) -> None:
    assert duration(value) == seconds


@pytest.mark.parametrize("value", ["", "m", "5 m", "1h5", "1d", "--5m", "nan", "inf"])
def test_what_is_no_duration_is_refused(value: str) -> None:
    with pytest.raises(ValueError):
        duration(value)
