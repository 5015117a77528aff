"""What every endpoint may answer beside what it is for: refusals that say what to do next in a header.

Each is described once for each dialect, as a response that all its operations refer to.
"""

from __future__ import annotations

from typing import NamedTuple

from hugweb.api.openapi.components import Components, Schema
from hugweb.api.openapi.groups import FAILURES
from hugweb.api.shape import Dialect


class Refusal(NamedTuple):
    """A status and the header that comes with it, where it is not ``sometimes`` left out."""

    name: str
    text: str
    header: str
    about: str
    kind: Schema
    sometimes: bool = False


_TEXT: Schema = {"type": "string", "minLength": 1}
_SECONDS: Schema = {"type": "integer", "minimum": 1}
_AGAIN = "Retry-After"
REFUSALS = {
    401: Refusal("Unauthorized", "Nobody said who asks.", "WWW-Authenticate", "How to say it.", _TEXT),
    405: Refusal(
        "MethodNotAllowed", "There is no such method here.", "Allow", "Those that there are.", _TEXT
    ),
    429: Refusal(
        "TooMany", "This key asked too much.", _AGAIN, "In how many seconds it may.", _SECONDS, True
    ),
    503: Refusal("NotNow", "The engine is not there, or too busy.", _AGAIN, "When to try again.", _SECONDS),
}


def refusals(dialect: Dialect) -> dict[str, Schema]:
    """OpenAPI's ``responses`` of an operation of ``dialect``, by status."""
    return {
        str(status): {"$ref": f"#/components/responses/{_name(dialect, refusal)}"}
        for status, refusal in REFUSALS.items()
    }


def refusal_components(components: Components) -> dict[str, Schema]:
    """What ``refusals`` refers to."""
    return {
        _name(dialect, refusal): {
            "description": refusal.text,
            "headers": {
                refusal.header: {
                    "description": refusal.about,
                    "required": not refusal.sometimes,
                    "schema": refusal.kind,
                }
            },
            "content": {
                media: {"schema": components.schema(kind, dialect.title())}
                for media, kind in FAILURES[dialect].items()
            },
        }
        for dialect in FAILURES
        if dialect
        for refusal in REFUSALS.values()
    }


def _name(dialect: Dialect, refusal: Refusal) -> str:
    return f"{dialect.title()}.{refusal.name}"
