"""Backups of the configuration: all aliases, each backup a JSON file in the home.

Files are written whole or not at all, and the oldest give way. Restoring keeps what was there before
as a backup of its own, so it can be undone.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.db import transaction

from aliases.exchange import LONGEST, Imported, aliases_export, aliases_import
from aliases.models import Alias
from inference.errors import InvalidRequest, NotFound

MOST = 50
_NAME = re.compile(r"aliases-\d{8}-\d{6}-\d{6}\.json")


class Backup(NamedTuple):
    """One backup: its name, when it was made, and its size in bytes."""

    name: str
    made: datetime
    size: int


def backup_make() -> Backup:
    """Keep what all aliases say now."""
    folder = _folder()
    name = f"aliases-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.json"
    draft = folder / f".{name}.{os.getpid()}"
    draft.write_text(aliases_export(Alias.objects.all()), encoding="utf-8")
    draft.replace(folder / name)
    for backup in backup_list()[MOST:]:
        (folder / backup.name).unlink(missing_ok=True)
    return _described(folder / name)


def backup_list() -> list[Backup]:
    """All backups, the newest first."""
    found = sorted((file for file in _folder().iterdir() if _NAME.fullmatch(file.name)), reverse=True)
    return [_described(file) for file in found]


def backup_restore(name: str) -> Imported:
    """Let all aliases be as ``name`` has them, and no others be there; undone by the backup made first."""
    file = _folder() / name
    if not _NAME.fullmatch(name) or not file.is_file():
        raise NotFound(f"There is no backup {name!r}. `config list` shows all.")
    text = file.read_text(encoding="utf-8")
    backup_make()
    with transaction.atomic():
        Alias.objects.all().delete()
        return aliases_import(text)


def configuration_check(path: Path) -> Imported:
    """What importing ``path`` would do, without doing it; ``InvalidRequest`` where it would be refused."""
    with transaction.atomic():
        imported = aliases_import(text_read(path))
        transaction.set_rollback(True)
    return imported


def text_read(path: Path) -> str:
    """The text of a configuration file."""
    try:
        if path.stat().st_size > LONGEST:
            raise InvalidRequest(f"{path.name} is too large: at most {LONGEST} bytes are read.")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path.name} cannot be read as text.") from error


def _folder() -> Path:
    folder = Path(settings.HOME, "backups")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _described(file: Path) -> Backup:
    stat = file.stat()
    return Backup(file.name, datetime.fromtimestamp(stat.st_mtime, UTC), stat.st_size)
