"""``manage.py bench [MODEL]``: HugWeb and its peers on the same weights, as ratios measured in one run."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import httpx2
from django.core.management.base import CommandError
from rich.console import Console
from rich.table import Table

from aliases.selectors import alias_resolve
from hugweb.bench.asking import Effort
from hugweb.bench.measures import Bench, Row, as_json
from hugweb.management.command import HugWebCommand
from hugweb.starter import ALIAS
from inference.errors import InferenceError


class Command(HugWebCommand):
    help = "Measure HugWeb and its peers, each started for it."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", nargs="?", default=ALIAS, help="an alias or a model's id")
        parser.add_argument("--threads", type=int, default=1, help="threads of each server (1)")
        parser.add_argument("--tokens", type=int, default=128, help="tokens of an answer (128)")
        parser.add_argument("--runs", type=int, default=3, help="runs of which the median counts (3)")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **given: Any) -> None:
        progress = Console(stderr=True)
        rows: list[Row] = []
        try:
            effort = Effort(given["tokens"], given["runs"])
            for row in Bench(alias_resolve(given["model"]), given["threads"], effort).run():
                rows.append(row)
                progress.print(f"[dim]{row.who}: {row.what}[/dim]")
        except (InferenceError, RuntimeError, httpx2.HTTPError) as error:
            raise CommandError(str(error)) from error
        if given["json"]:
            self.stdout.write(as_json(rows))
        else:
            Console().print(_table(rows))


def _table(rows: list[Row]) -> Table:
    table = Table("who", "what", "figure", "ratio")
    for row in rows:
        figure = f"{row.value:.1f} {row.unit}" if row.unit else ""
        table.add_row(row.who, row.what, figure, f"{row.ratio:.2f} × {row.to}" if row.ratio else "")
    return table
