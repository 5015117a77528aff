"""A chat as a JSON file: a list of messages, each with its role and content."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from inference.errors import InvalidRequest
from inference.protocol import MAX_MESSAGES, Message

LARGEST = 64 * 2**20


def transcript_load(path: Path) -> list[Message]:
    """The messages in ``path``; none where there is no such file yet."""
    if not path.exists():
        return []
    try:
        if path.stat().st_size > LARGEST:
            raise InvalidRequest(f"{path} is too large for a history: at most {LARGEST} bytes are read.")
        return msgspec.json.decode(path.read_bytes(), type=list[Message])[-MAX_MESSAGES:]
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidRequest(
            f"{path} holds no history: a JSON list of messages with role and content."
        ) from error


def transcript_save(path: Path, messages: list[Message]) -> None:
    """Write ``messages`` to ``path``, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(messages), indent=2) + b"\n")
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InvalidRequest(f"The history could not be written to {path}: {error.strerror}.") from error
