"""What a model's card says that its configuration does not: the licence.

A card is a README.md that begins with a few lines of YAML between two lines of dashes. Only one
line of it is of interest, so no YAML is parsed: a card is somebody else's text.
Source: the Hub's documentation of model cards.
"""

from __future__ import annotations

import re
from pathlib import Path

CARD = "README.md"
LARGEST_HEADER = 64 * 2**10
LONGEST_LICENSE = 64
_HEADER = re.compile(r"\A---\s*\n(?P<lines>.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
_LICENSE = re.compile(r"^license:[ \t]*[\"']?(?P<id>[A-Za-z0-9][A-Za-z0-9._-]*)[\"']?[ \t]*$", re.MULTILINE)


def license_read(folder: Path) -> str:
    """The licence that the card in ``folder`` names, as ``apache-2.0``; empty if there is none."""
    try:
        with (folder / CARD).open("rb") as file:
            text = file.read(LARGEST_HEADER).decode("utf-8", errors="replace")
    except OSError:
        return ""
    header = _HEADER.match(text.replace("\r\n", "\n"))
    found = _LICENSE.search(header["lines"]) if header else None
    return license_check(found["id"]) if found else ""


def license_check(value: object) -> str:
    """``value`` if it can be the name of a licence, else nothing."""
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_LICENSE else ""
