"""Models come and go over Ollama's native API: ``/api/pull`` and ``/api/delete``.

A client that leaves takes its interest in a pull with it; the pull goes on while others have any.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from channels.db import database_sync_to_async
from django.http import HttpRequest, HttpResponseBase
from msgspec import Struct

from aliases.names import canonical_name
from aliases.selectors import alias_find, model_find, names_of
from aliases.services import alias_delete
from hugweb.api.described import JSON, LINES, Operation
from hugweb.api.endpoint import endpoint
from hugweb.api.fields import ModelName, NewName
from hugweb.api.ollama.answers import Status
from hugweb.api.ollama.frames import Frame
from hugweb.api.ollama.requests import parse
from hugweb.api.ollama.statuses import Statuses, status_response
from hugweb.api.responses import empty_response
from hugweb.pull_orders import pull_order
from inference.errors import InvalidRequest, ModelNotFound, NotFound, from_code
from inference.store.progress import FileProgress, Progress, PullFailed, PullState
from inference.store.pulls import PULLS
from inference.store.services import model_delete

# Clients compare this text.
UNKNOWN = "pull model manifest: file does not exist"
DIGITS_SHOWN = 12


class PullBody(Struct, kw_only=True):
    """``POST /api/pull``. ``insecure`` is accepted and changes nothing."""

    model: NewName = ""
    name: NewName = ""
    insecure: bool = False
    stream: bool = True


class DeleteBody(Struct, kw_only=True):
    """``DELETE /api/delete``."""

    model: ModelName = ""
    name: ModelName = ""


@Operation(
    "Pull a model from the Hub",
    takes={JSON: PullBody},
    needs=("model name",),
    gives={LINES: Status, JSON: Status},
)
@endpoint("POST")
async def pull(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, PullBody)
    name = canonical_name(body.model or body.name)
    return await status_response(request, pull_statuses(name), stream=body.stream)


@Operation(
    "Delete an alias, whose model stays, or a model",
    takes={JSON: DeleteBody},
    needs=("model name",),
)
@endpoint("DELETE")
async def delete(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, DeleteBody)
    name = body.model or body.name
    if not name:
        raise InvalidRequest("model is required")
    # Not in the thread that all others wait for: gigabytes are not deleted at once.
    await database_sync_to_async(_delete, thread_sensitive=False)(name)
    return empty_response()


def _delete(name: str) -> None:
    """Delete an alias, whose model stays, or a model."""
    try:
        wanted = canonical_name(name)
    except InvalidRequest as error:
        raise InvalidRequest(f'name "{name}" is invalid') from error
    if alias_find(wanted):
        alias_delete(name=wanted)
    elif record := model_find(wanted):
        model_delete(record=record, held_by=names_of(record))
    else:
        raise ModelNotFound.named(name)


async def pull_statuses(name: str) -> Statuses:
    """How far the pull of ``name`` is, from its first step to success."""
    yield {"status": "pulling manifest"}
    frames = PullFrames()
    try:
        order = await database_sync_to_async(pull_order)(name)
        async with contextlib.aclosing(PULLS.follow(order)) as states:
            async for state in states:
                for frame in frames.of(state):
                    yield frame
    except NotFound as error:
        raise NotFound(UNKNOWN) from error


class PullFrames:
    """The states of a pull as Ollama's frames, each told once.

    Only files whose SHA-256 the Hub tells have frames of their own: those are the large ones.
    """

    def __init__(self) -> None:
        self._told: dict[str, int] = {}
        self._notes = {""}
        self._verified = False

    def of(self, state: PullState) -> Iterator[Frame]:
        match state:
            case PullFailed(code=code, message=message):
                raise from_code(code, message)
            case Progress():
                yield from self._note(state.note)
                yield from filter(None, map(self._file, state.files))
                if state.step == "checking":
                    yield from self._verify()
            case _:
                yield from self._verify()
                yield {"status": "writing manifest"}
                yield {"status": "success"}

    def _note(self, note: str) -> Iterator[Frame]:
        if note not in self._notes:
            self._notes.add(note)
            yield {"status": note}

    def _file(self, file: FileProgress) -> Frame | None:
        if not file.sha256 or file.done <= self._told.get(file.sha256, 0):
            return None
        self._told[file.sha256] = file.done
        return {
            "status": f"pulling {file.sha256[:DIGITS_SHOWN]}",
            "digest": f"sha256:{file.sha256}",
            "total": file.size,
            "completed": file.done,
        }

    def _verify(self) -> Iterator[Frame]:
        if not self._verified:
            self._verified = True
            yield {"status": "verifying sha256 digest"}
