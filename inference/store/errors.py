"""What can go wrong while a model is taken in, on top of ``inference.errors``.

Knows nothing of commands and of HTTP; messages are sentences that say what to do next.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from inference.errors import InferenceError, InvalidRequest


class ModelRefused(InvalidRequest):
    """The files are not a model that can be taken in."""

    code = "model_refused"


class ModelHeld(InferenceError):
    """An alias stands for the model, so it is not deleted."""

    code = "model_held"
    status = 409


class ModelGated(InferenceError):
    """The Hub gives this model only to those who accepted its terms."""

    code = "model_gated"
    status = 403


class HubError(InferenceError):
    """The Hub cannot be reached, or gives no answer that can be used."""

    code = "hub_error"
    status = 502
    retryable = True


class PullStopped(InferenceError):
    """Nobody wants the model any more, or the server stops."""

    code = "pull_stopped"
    status = 503
    retryable = True

    def __init__(self, message: str = "The pull was stopped. Pulled again, it goes on from there.") -> None:
        super().__init__(message)


class DiskFull(InferenceError):
    """There is no room for the model."""

    code = "disk_full"
    status = 507

    def __init__(self, message: str = "The disk is full. Make room and pull the model again.") -> None:
        super().__init__(message)


class StoreError(InferenceError):
    """The model's files cannot be read or written."""

    code = "store_error"


class PackageError(InferenceError):
    """The Python package that holds a model cannot be had, or is not what it should be."""

    code = "package_error"


class ConversionFailed(InferenceError):
    """A GGUF file could not be made into a model folder."""

    code = "conversion_failed"


def disk_error(error: OSError) -> InferenceError:
    """An error of the operating system, as one that says what to do."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull()
    return StoreError(
        f"The model's files could not be copied: {error.strerror}. Check the permissions and try again."
    )


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """``disk_error`` for all that happens inside."""
    try:
        yield
    except OSError as error:
        raise disk_error(error) from error
