"""The home folder: where HugWeb keeps its state, and the secret key in it.

Knows nothing of Django; settings call it while Django starts.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def ensure_folder(folder: Path) -> Path:
    """``folder``, made if need be, for its owner only."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def secret_key(home: Path) -> str:
    """The secret key of this home, made at the first call.

    Two first starts at once end up with one key: each writes a file of its own, and linking it to
    the final name succeeds for one of them only.
    """
    keeper = ensure_folder(home) / "secret_key"
    if not keeper.exists():
        draft = home / f".secret_key.{secrets.token_hex(8)}"
        draft.touch(mode=0o600, exist_ok=False)
        draft.write_text(secrets.token_urlsafe(50), encoding="ascii")
        try:
            os.link(draft, keeper)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return keeper.read_text(encoding="ascii")
