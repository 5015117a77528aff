"""Bars as SVG, drawn on the server: no script and no style of its own, so the strictest CSP is fine.

Sizes are in units of the drawing, which the page scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

WIDTH = 720.0
HEIGHT = 160.0
GAP = 0.25


@dataclass(frozen=True)
class Bar:
    """One bar, its foot at ``HEIGHT``."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class Chart:
    """A title, the highest value in its unit, the first and last day, and a bar for each day."""

    title: str
    unit: str
    top: int
    first: date
    last: date
    bars: Sequence[Bar]
    width: float = WIDTH
    height: float = HEIGHT


def bar_chart(title: str, unit: str, values: Sequence[tuple[date, int]]) -> Chart:
    """``values`` by day; the highest is as high as the chart."""
    top = max((value for _, value in values), default=0)
    step = WIDTH / max(1, len(values))
    bars = [
        _bar(index, step, value / top, f"{day:%d %b %Y}: {value:,} {unit}")
        for index, (day, value) in enumerate(values)
        if value
    ]
    return Chart(title, unit, top, values[0][0], values[-1][0], bars)


def _bar(index: int, step: float, share: float, label: str) -> Bar:
    height = max(1.0, share * HEIGHT)
    return Bar(
        x=round((index + GAP / 2) * step, 2),
        y=round(HEIGHT - height, 2),
        width=round(step * (1 - GAP), 2),
        height=round(height, 2),
        label=label,
    )
