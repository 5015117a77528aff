"""What a key must be allowed to do for which request.

By address rather than by view, so that an address nobody has thought of needs the widest scope that
its method can mean. Knows nothing of keys.
"""

from __future__ import annotations

from inference.keys.models import Scope

_MANAGING = {"pull", "push", "create", "copy", "delete", "blobs"}
_READING = {"show"}
# What of our own API belongs to whoever asks: to change it takes what asking takes.
_OWN = {"conversations", "messages", "attachments"}


def scope_of(method: str, path: str) -> Scope | None:
    """The scope that a request needs; None where any key will do."""
    match path.split("/")[1:3]:
        case [""]:
            return None
        case ["api", name] if name in _MANAGING:
            return Scope.MANAGE
        case ["v1", "responses"]:
            # What somebody was answered is theirs: to read and to delete it takes what asking takes.
            return Scope.GENERATE
        case ["api", name] if name in _READING and method == "POST":
            return Scope.READ
        case ["graphql"]:
            return Scope.READ
        case ["rest", name] if method not in {"GET", "HEAD", "OPTIONS"}:
            return Scope.GENERATE if name in _OWN else Scope.MANAGE
    if method in {"GET", "HEAD"}:
        return Scope.READ
    return Scope.GENERATE if method == "POST" else Scope.MANAGE
