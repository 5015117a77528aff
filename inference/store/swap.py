"""Puts a finished folder in its final place, in one step for everyone who looks.

Where the system can exchange two folders (Linux and macOS, most file systems), an older folder of
that name is replaced without a moment in which there is none; elsewhere it is moved aside first.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

EXCHANGE = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS
AT_FDCWD = -100


def folder_place(draft: Path, final: Path) -> None:
    """Make ``draft`` the folder ``final``; both lie in the same parent.

    An older one is ``draft`` then, for the caller to delete: that takes a while for gigabytes.
    """
    if not final.exists():
        draft.rename(final)
    elif not _exchange(draft, final):
        _replace(draft, final)


def _exchange(one: Path, other: Path) -> bool:
    """Give each folder the other's name; ``False`` where the system cannot."""
    paths = os.fsencode(one), os.fsencode(other)
    library = ctypes.CDLL(None)
    if sys.platform == "darwin" and hasattr(library, "renamex_np"):
        return library.renamex_np(*paths, EXCHANGE) == 0
    if hasattr(library, "renameat2"):
        return library.renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], EXCHANGE) == 0
    return False


def _replace(draft: Path, final: Path) -> None:
    old = draft.with_name(f"{draft.name}.old")
    try:
        final.rename(old)
        draft.rename(final)
    finally:
        if old.exists():
            old.rename(draft if final.exists() else final)
