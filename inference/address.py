"""Where the engine listens."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from django.conf import settings

# sockaddr_un holds 104 bytes on macOS and 108 on Linux, the closing zero included.
LONGEST_PATH = 103


def engine_address() -> str:
    """The path of the engine's socket: ENGINE_ADDRESS, or a file in the home.

    A home whose path is too long for a socket gets one in the folder for temporary files, named
    after the home, in a folder that only its owner can enter.
    """
    if settings.ENGINE_ADDRESS:
        return settings.ENGINE_ADDRESS.removeprefix("unix:")
    at_home = Path(settings.HOME, "run", "engine.sock")
    if len(os.fsencode(at_home)) <= LONGEST_PATH:
        return str(at_home)
    digest = hashlib.sha256(os.fsencode(settings.HOME)).hexdigest()[:16]
    return str(Path(tempfile.gettempdir(), f"hugweb-{os.getuid()}-{digest}", "engine.sock"))
