"""Turns what huggingface_hub raises into errors that say what to do.

The order matters: its errors inherit from each other, and most from ``OSError``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx2
from huggingface_hub import errors as hub

from inference.errors import InferenceError, InvalidRequest, NotFound
from inference.store.errors import HubError, ModelGated, disk_error

UNREACHABLE = "The Hub cannot be reached. Check the network (and HF_ENDPOINT, if it is set) and try again."
STRANGE = "The Hub's address answers, but not as the Hub does. Check HF_ENDPOINT and the network's proxy."
BROKEN_OFF = "The download broke off. Pull the model again: it goes on where it stopped."
OFFLINE = (
    "The Hub is not asked while HF_HUB_OFFLINE is set. Unset it, "
    "or take the model from a folder: pull ./folder --name org/name."
)
LONGEST_WAIT_SECONDS = 120.0
# A portal in between answers anything; the downloader written in Rust knows only RuntimeError.
UNEXPLAINED = (httpx2.HTTPError, OSError, ValueError, LookupError, TypeError, RuntimeError)
BY_STATUS = {
    401: "The Hub does not accept the token. Check HF_TOKEN and try again.",
    403: "The Hub refuses the request. Check what HF_TOKEN may read, and the network's proxy.",
    429: "The Hub got too many requests. Wait a few minutes, or set HF_TOKEN, and try again.",
}


@contextlib.contextmanager
def hub_errors(name: str, revision: str | None = None) -> Iterator[None]:
    """Errors of the Hub, the network and the disk inside, about the model ``name``."""
    try:
        yield
    except UNEXPLAINED as error:
        raise _explained(error, name, revision) from error


def _explained(error: Exception, name: str, revision: str | None) -> InferenceError:
    match error:
        case hub.GatedRepoError():
            return ModelGated(
                f"{name} is gated. Accept its terms at huggingface.co/{name}, set HF_TOKEN, and try again."
            )
        case hub.RepositoryNotFoundError():
            return NotFound(
                f"The Hub has no model {name}, or it is private. Check the name, or set HF_TOKEN."
            )
        case hub.RevisionNotFoundError():
            return NotFound(f"{name} has no revision {revision}. Look for it on its page on the Hub.")
        case hub.HFValidationError():
            return InvalidRequest(f"The Hub has no names such as {name}. Check the name.")
        case hub.HfHubHTTPError():
            return HubError(_by_status(error))
        case hub.OfflineModeIsEnabled():
            return HubError(OFFLINE)
        case httpx2.HTTPError() | ConnectionError() | TimeoutError() | hub.LocalEntryNotFoundError():
            return HubError(UNREACHABLE)
        case OSError(errno=int()):
            return disk_error(error)
        case ValueError() | LookupError() | TypeError():
            return HubError(STRANGE)
    return HubError(BROKEN_OFF)


def _by_status(error: hub.HfHubHTTPError) -> str:
    status, wait = error.response.status_code, _retry_after(error)
    if status == 429 and wait:
        return f"{asks_to_wait(wait)} Wait, or set HF_TOKEN, and try again."
    return BY_STATUS.get(status, f"The Hub answered with an error ({status}). Try again later.")


def wait_asked(error: hub.HfHubHTTPError) -> float:
    """The seconds that the Hub asks to wait, 0 for none; ``error`` again if that is too long."""
    seconds = _retry_after(error)
    if seconds > LONGEST_WAIT_SECONDS:
        raise error
    return seconds


def asks_to_wait(seconds: float) -> str:
    """What the Hub asks for, as a sentence."""
    time = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
    return f"The Hub got too many requests and asks to wait {time}."


def _retry_after(error: hub.HfHubHTTPError) -> float:
    value = error.response.headers.get("Retry-After", "").strip()
    return float(value) if value.isascii() and value.isdigit() and len(value) < 10 else 0.0
