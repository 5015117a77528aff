"""The error tree: everything that can go wrong between a request and its answer.

Each error carries a stable ``code``, the HTTP ``status`` that a dialect answers with when the
response has not started, whether asking again may help (``retryable``), and, where one is to blame,
the field of the request (``param``, known only where the request was read). Messages are for
people: they say what happened and what to do next, and never hold a path or an address of the
machine. The engine sends an error over the wire as its code and message; ``from_code`` makes the
same error again on the other side.

Standard library only: web and engine both import this module.
"""

from __future__ import annotations

import math

# What ``Busy`` says where it is the database that does not answer.
NO_DATABASE = "The database does not answer. Try again in a moment."


class InferenceError(Exception):
    """Root of the tree: an error that is nobody's fault but ours."""

    code = "internal"
    status = 500
    retryable = False
    param: str | None = None
    # Seconds after which trying again makes sense, where it does at all.
    wait = 2

    def __init__(self, message: str = "Something went wrong inside HugWeb. The log says more.") -> None:
        super().__init__(message)
        self.message = message


class InvalidRequest(InferenceError):
    """The client asked for something that cannot be meant."""

    code = "invalid_request"
    status = 400

    def __init__(self, message: str = "The request is malformed.", param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class Unsupported(InvalidRequest):
    """The model cannot do what was asked."""

    code = "unsupported"


class CannotLoad(Unsupported):
    """The model cannot be loaded as it was asked for: its kind, its precision, or its device."""

    code = "cannot_load"


class ContextOverflow(InvalidRequest):
    """The prompt is longer than the model's context."""

    code = "context_overflow"


class Unauthorized(InferenceError):
    """No valid key or login came with the request."""

    code = "unauthorized"
    status = 401


class Forbidden(InferenceError):
    """The request's host, origin or key is known and may not do this."""

    code = "forbidden"
    status = 403


class ProviderDisabled(Forbidden):
    """Whoever manages this server has switched the provider off."""

    code = "provider_disabled"

    @classmethod
    def named(cls, name: str) -> ProviderDisabled:
        return cls(
            f"The provider '{name}' is switched off. Whoever manages this server can switch it on, "
            "in the admin under Providers."
        )


class NotFound(InferenceError):
    """There is no such thing, or it belongs to somebody else."""

    code = "not_found"
    status = 404


class ModelNotFound(NotFound):
    """No model or alias of that name. The text is Ollama's: clients match it."""

    code = "model_not_found"

    @classmethod
    def named(cls, name: str) -> ModelNotFound:
        return cls(f"model '{name}' not found")


class MethodNotAllowed(InferenceError):
    """The address exists, the method does not."""

    code = "method_not_allowed"
    status = 405


class TooLarge(InferenceError):
    """The body, a frame or an upload is over its limit."""

    code = "too_large"
    status = 413

    @classmethod
    def of_key(cls, most: int) -> TooLarge:
        return cls(f"This key may send at most {most} bytes in a request.")


class TooSlow(InferenceError):
    """A request did not arrive as a whole within the time that it may take."""

    code = "too_slow"
    status = 408
    retryable = True

    def __init__(self, message: str = "The request took too long to arrive. Please try again.") -> None:
        super().__init__(message)


class RateLimited(InferenceError):
    """A key has asked more often than it may."""

    code = "rate_limited"
    status = 429
    retryable = True

    @classmethod
    def after(cls, seconds: float) -> RateLimited:
        wait = max(1, math.ceil(seconds))
        error = cls(f"This key has asked as often as it may. Try again in {wait} s.")
        error.wait = wait
        return error


class QuotaUsed(InferenceError):
    """A key has used what it has for the day. Asking again soon does not help."""

    code = "quota_used"
    status = 429

    @classmethod
    def of(cls, tokens: int) -> QuotaUsed:
        return cls(f"This key has used its {tokens} tokens of today. It may ask again after midnight, UTC.")


class LoadFailed(InferenceError):
    """The model is there but could not be loaded."""

    code = "load_failed"


class OutOfMemory(InferenceError):
    """Memory ran out while loading or answering."""

    code = "out_of_memory"


class DoesNotFit(InvalidRequest):
    """The model needs more memory than this machine can give it, as it was asked for."""

    code = "does_not_fit"


class EngineDied(InferenceError):
    """The engine ended in the middle of an answer."""

    code = "engine_died"
    retryable = True

    def __init__(
        self, message: str = "The engine stopped unexpectedly. It is being restarted: please try again."
    ) -> None:
        super().__init__(message)


class EngineDown(InferenceError):
    """The engine cannot be reached at all."""

    code = "engine_down"
    status = 503
    retryable = True

    def __init__(self, message: str = "The engine is not running yet. Please try again in a moment.") -> None:
        super().__init__(message)


class Busy(InferenceError):
    """The queue is full. The text is Ollama's, two spaces included."""

    code = "busy"
    status = 503
    retryable = True

    def __init__(
        self, message: str = "server busy, please try again.  maximum pending requests exceeded"
    ) -> None:
        super().__init__(message)


class Draining(InferenceError):
    """The server is shutting down and takes nothing new."""

    code = "draining"
    status = 503
    retryable = True

    def __init__(self, message: str = "The server is shutting down. Please try again later.") -> None:
        super().__init__(message)


class TimedOut(InferenceError):
    """Nothing happened for longer than the limit allows."""

    code = "timed_out"
    status = 504
    retryable = True


def _subclasses(root: type[InferenceError]) -> list[type[InferenceError]]:
    return [root, *(found for child in root.__subclasses__() for found in _subclasses(child))]


def from_code(code: str, message: str) -> InferenceError:
    """The error that ``code`` stands for; the root of the tree for a code nobody knows."""
    # Looked for each time: other modules grow branches of their own.
    found = (kind for kind in _subclasses(InferenceError) if kind.code == code)
    return next(found, InferenceError)(message)
