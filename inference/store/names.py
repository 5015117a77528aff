"""The grammar of a model's name: ``org/name``, as on the Hub, and ``org/name:tag`` for one of its files.

Narrower than the Hub's in one way: every name must also be one that an API client can write, so
each part has at most 80 characters, and hosts that clients put before a name are no organisation.
"""

from __future__ import annotations

import re

from inference.errors import InvalidRequest

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"
_NAME = re.compile(rf"(?P<org>{_PART})/{_PART}(?P<tag>:{_PART})?")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,99}")
# Characters: three parts with what joins them. An alias is named in the same way.
LONGEST_NAME = 242
RESERVED = frozenset({"library", "hf.co", "huggingface.co", "registry.ollama.ai"})


def model_name_check(name: str) -> None:
    """``InvalidRequest`` unless ``name`` can be the name of a model."""
    match = _NAME.fullmatch(name)
    if not match or ".." in name:
        raise InvalidRequest(
            f"'{name}' cannot be a model's name. Write it as org/name: letters, digits, '_', '-' and '.', "
            "at most 80 characters before and after the slash."
        )
    if match["org"].lower() in RESERVED:
        raise InvalidRequest(f"'{match['org']}' stands for a host in a model's name. Choose another one.")


def folder_of(name: str) -> str:
    """The folder of a model in the store, relative to it; no two names have the same."""
    return name.replace(":", "@")


def revision_check(revision: str) -> None:
    """``InvalidRequest`` unless ``revision`` can be a branch, a tag or a commit."""
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise InvalidRequest(f"'{revision}' cannot be a revision. Write a branch, a tag or a commit.")
