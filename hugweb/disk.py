"""What takes the disk: models, pictures of conversations, the database, and what is free.

Models and pictures are told from their rows: walking through their folders could take seconds.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.models import Sum

from conversations.models import Attachment
from inference.models import ModelRecord

# SQLite's log of what is not yet in the file itself, and the index of that log.
BESIDE = ("", "-wal", "-shm")


@dataclass(frozen=True)
class Disk:
    """Bytes on the disk of the home. ``models`` may lie on another one."""

    total: int
    used: int
    free: int
    models: int
    media: int
    database: int

    @property
    def percent(self) -> float:
        return round(100 * self.used / self.total, 1)


def disk_read() -> Disk:
    """The disk as it is now."""
    disk = shutil.disk_usage(settings.HOME)
    return Disk(
        total=disk.total,
        used=disk.used,
        free=disk.free,
        models=ModelRecord.objects.aggregate(size=Sum("size"))["size"] or 0,
        media=Attachment.objects.aggregate(size=Sum("size"))["size"] or 0,
        database=_database(),
    )


def _database() -> int:
    """Bytes of the database, as its files or its server tell."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            return int(cursor.fetchone()[0])
    files = (Path(f"{connection.settings_dict['NAME']}{end}") for end in BESIDE)
    return sum(file.stat().st_size for file in files if file.is_file())
