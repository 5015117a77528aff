"""What an endpoint takes and gives, said beside its view; read only when the description is asked for.

Bodies are the structs that requests are checked by, answers the types beside the frames that are
written. Knows nothing of OpenAPI: ``hugweb.api.openapi`` makes the description of this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, TypeVar

JSON = "application/json"
LINES = "application/x-ndjson"
EVENTS = "text/event-stream"
FORM = "multipart/form-data"
BYTES = "application/octet-stream"
TEXT = "text/plain"

V = TypeVar("V", bound=Callable[..., Any])
# A type by content type; that of a stream is the type of each of its frames.
Contents = Mapping[str, Any]


@dataclass(frozen=True)
class Operation:
    """One thing that an endpoint does; as a decorator, one thing that the view does.

    ``methods`` are those of HTTP that it is for, all of the endpoint's where there are none.
    ``takes`` is the body. ``needs`` are fields that may not be left out although their struct has a
    default, since a text of ours refuses that: ``"a b"`` needs one of two. ``files`` are the fields
    of a form that hold a file, or with ``[]`` several; ``parameters`` is a struct of what stands in path
    and query. ``rules`` are schemas that a body of JSON also fits: how its fields depend on each other.
    ``owned``: it is about what is somebody's own, and needs to know whose. ``gives`` is
    the body of each of ``statuses``; of other statuses it is ``others``.
    """

    summary: str
    _: KW_ONLY
    methods: tuple[str, ...] = ()
    takes: Contents = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    parameters: type | None = None
    rules: tuple[Mapping[str, Any], ...] = ()
    owned: bool = False
    gives: Contents = field(default_factory=dict)
    statuses: tuple[int, ...] = (200,)
    others: Mapping[int, Contents] = field(default_factory=dict)

    def __call__(self, view: V) -> V:
        view.operations = (self, *operations_of(view))  # type: ignore[attr-defined]
        return view


def operations_of(view: Callable[..., Any]) -> tuple[Operation, ...]:
    """What is said of ``view``."""
    found: tuple[Operation, ...] = getattr(view, "operations", ())
    return found
