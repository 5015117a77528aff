"""``manage.py ps``: what is in memory, as a table like Ollama's or as JSON."""

from __future__ import annotations

import asyncio
import json
from argparse import ArgumentParser
from typing import Any

import msgspec
from django.core.management.base import CommandError

from hugweb.management.command import HugWebCommand
from inference.errors import InferenceError
from inference.protocol import LoadedModel
from inference.providers.base import Provider
from inference.providers.registry import get_provider

COLUMNS = ("NAME", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL")
PRECISIONS = {"none": "", "int8": " (8-bit)", "int4": " (4-bit)"}
SIZES = (("GB", 10**9), ("MB", 10**6), ("KB", 10**3))
SPANS = (("hour", 3600), ("minute", 60), ("second", 1))


class Command(HugWebCommand):
    help = "Show which models are in memory."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **given: Any) -> None:
        try:
            models = asyncio.run(_loaded())
        except InferenceError as error:
            raise CommandError(error.message) from error
        if given["json"]:
            self.stdout.write(json.dumps(msgspec.to_builtins(models), indent=2))
            return
        rows = [COLUMNS, *(_row(model) for model in models)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.stdout.write("    ".join(cells).rstrip())


async def running_provider() -> Provider:
    """The provider with the engine of this home; ``CommandError`` if none is running."""
    provider = get_provider("huggingface")
    if not await provider.healthy():
        raise CommandError("No server is running in this home. Start it with `make serve`.")
    return provider


async def _loaded() -> tuple[LoadedModel, ...]:
    return await (await running_provider()).loaded()


def _row(model: LoadedModel) -> tuple[str, ...]:
    if model.state == "loading":
        return (model.name + PRECISIONS[model.quantization], "-", "-", "-", "Loading...")
    return (
        model.name + PRECISIONS[model.quantization],
        _size(model.size),
        _processor(model),
        str(model.context_length),
        _until(model),
    )


def _processor(model: LoadedModel) -> str:
    """Where the model is and in which numbers; of several GPUs, on which."""
    kind, _, number = model.device.partition(":")
    place = f"100% {'CPU' if kind == 'cpu' else 'GPU'} {number}".rstrip()
    return f"{place}, {model.dtype}" if model.dtype else place


def _size(size: int) -> str:
    for unit, bytes_each in SIZES:
        if size >= bytes_each:
            number = size / bytes_each
            return f"{number:.1f} {unit}" if number < 10 else f"{number:.0f} {unit}"
    return f"{size} B"


def _until(model: LoadedModel) -> str:
    """When the model goes, in the words of Ollama's."""
    if model.stopping:
        return "Stopping..."
    if model.expires_in < 0:
        return "Forever"
    for unit, seconds in SPANS:
        if (count := round(model.expires_in / seconds)) >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''} from now"
    return "Less than a second from now"
