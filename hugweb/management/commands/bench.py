"""``manage.py bench [MODEL]``: how fast the running server is, as ratios measured in one run."""

from __future__ import annotations

import asyncio
import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from aliases.selectors import alias_resolve
from hugweb.bench import STREAMS, TOKENS, TURNS, Bench
from hugweb.listen import url_of
from hugweb.starter import ALIAS
from inference.errors import InferenceError
from inference.providers.registry import get_provider


class Command(BaseCommand):
    help = "Measure the running server."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", nargs="?", default=ALIAS, help="an alias or a model's id")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **given: Any) -> None:
        try:
            target = alias_resolve(given["model"])
            if not asyncio.run(get_provider(target.provider).healthy()):
                raise CommandError("No server is running in this home. Start it with `make serve`.")
            bench = Bench(url_of(settings.HOST, settings.PORT), target)
            rows = asyncio.run(_measure(bench, bench.baseline()))
        except InferenceError as error:
            raise CommandError(error.message) from error
        if given["json"]:
            self.stdout.write(json.dumps(dict(rows), indent=2))
        else:
            _show(rows)


async def _measure(bench: Bench, baseline: dict[str, float]) -> list[tuple[str, str]]:
    """What was measured, and the figure with its ratio."""
    await bench.alone()
    one, engine = await bench.alone(), await bench.at_the_engine()
    speed = baseline["tokens_per_second"]
    per_token = (one.writing / one.tokens - engine.writing / engine.tokens) * 1000
    rows = [
        ("model.generate, one stream", f"{speed:.1f} tok/s"),
        (
            f"/api/generate, one stream of {TOKENS}",
            f"{one.speed:.1f} tok/s, {one.speed / speed:.2f} × generate",
        ),
        ("web: added per token", f"{per_token:.2f} ms"),
        ("web: added to the first token", f"{(one.first - engine.first) * 1000:.1f} ms"),
    ]
    for count in STREAMS:
        total, first = await bench.streams(count)
        rows.append(
            (f"{count} at once, prompts included", f"{total:.1f} tok/s, first after {first * 1000:.0f} ms")
        )
    known, fresh = await bench.turns()
    turn = f"{known * 1000:.0f} ms, {known / fresh:.2f} × of {fresh * 1000:.0f} ms unread"
    return [*rows, (f"first token of turn {TURNS}", turn)]


def _show(rows: list[tuple[str, str]]) -> None:
    table = Table("measured", "figure")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
