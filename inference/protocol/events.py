"""What the engine answers: progress, pieces of an answer, whole results, and the end."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal

from msgspec import Struct

from inference.errors import InferenceError, from_code
from inference.protocol.messages import ToolCall
from inference.protocol.options import TokenId
from inference.protocol.requests import Quantization

FOREVER = -1.0

Reason = Literal["stop", "length", "load", "unload", "status"]


class Queued(Struct, frozen=True, kw_only=True, tag="queued"):
    """Others are first: ``position`` of them, this request included."""

    position: int


class Loading(Struct, frozen=True, kw_only=True, tag="loading"):
    """The model is being loaded; ``seconds`` since that began."""

    seconds: float


class Loaded(Struct, frozen=True, kw_only=True, tag="loaded"):
    """The model was loaded for this request, and takes ``memory`` bytes as measured, without room for text;
    0 if it could not be."""

    memory: int


class Reading(Struct, frozen=True, kw_only=True, tag="reading"):
    """The prompt is being read: ``done`` of ``total`` tokens, of a sound hundredths of a second."""

    done: int
    total: int


class Logprob(Struct, frozen=True, kw_only=True):
    """A token, its text, its bytes (``raw``), and the natural logarithm of its probability; ``None`` for the
    first token of a text. ``top`` are the likeliest tokens at its place, falling."""

    token: TokenId
    text: str
    raw: bytes
    logprob: float | None
    top: tuple[Logprob, ...] = ()


class FellBack(Struct, frozen=True, kw_only=True, tag="fell_back"):
    """``model`` of ``provider`` answers, since the one that was asked cannot: for the ``reason`` it gave."""

    model: str
    provider: str
    reason: str


class Noted(Struct, frozen=True, kw_only=True, tag="noted"):
    """Something is done other than asked: what, in words for people."""

    note: str


class Text(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="text"):
    """A piece of an answer, whole characters only, and how many tokens it took.

    ``sample`` says which answer of several. Text that is held back because it may be the beginning of
    a stop string or of a tool call takes its tokens and logprobs with it. An echoed prompt has logprobs
    but no tokens; logprobs that no text is left for come with an empty one.
    """

    text: str
    tokens: int = 1
    sample: int = 0
    logprobs: tuple[Logprob, ...] = ()


class Thought(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="thought"):
    """A piece of what the model thinks before it answers."""

    text: str
    tokens: int = 1
    sample: int = 0
    logprobs: tuple[Logprob, ...] = ()


class Called(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="called"):
    """The model asks for a tool to be called."""

    call: ToolCall
    tokens: int = 1
    sample: int = 0
    logprobs: tuple[Logprob, ...] = ()


class Rendered(Struct, frozen=True, kw_only=True, tag="rendered"):
    """What the model would read: as text, and as how many tokens."""

    text: str
    tokens: int


class Tokens(Struct, frozen=True, kw_only=True, tag="tokens"):
    """The token ids of a text."""

    tokens: tuple[TokenId, ...]


class Embedded(Struct, frozen=True, kw_only=True, tag="embedded"):
    """Vectors of ``width`` numbers each, one after the other, as little-endian float32."""

    vectors: bytes
    width: int


class Ranked(Struct, frozen=True, kw_only=True, tag="ranked"):
    """A score for each document, in the order of the request; higher is better."""

    scores: tuple[float, ...]


class Utterance(Struct, frozen=True, kw_only=True):
    """A stretch of speech, from ``start`` to ``end`` in seconds.

    ``seek``: where what the model listened to at once began, in hundredths of a second. ``logprob``: the
    mean of its ``tokens``; ``silence``: how likely nobody speaks there.
    """

    start: float
    end: float
    text: str
    tokens: tuple[TokenId, ...]
    seek: int
    temperature: float
    logprob: float
    silence: float


class Heard(Struct, frozen=True, kw_only=True, tag="heard"):
    """All that is said in a sound of ``duration`` seconds. ``language`` is an English name in small letters.

    Without ``timed``, the model tells no times; they are those of what it listened to at once.
    """

    language: str
    duration: float
    utterances: tuple[Utterance, ...]
    timed: bool = True


class Drawing(Struct, frozen=True, kw_only=True, tag="drawing"):
    """Pictures are coming into being: ``done`` of ``total`` steps."""

    done: int
    total: int


class Picture(Struct, frozen=True, kw_only=True, tag="picture"):
    """A finished picture, a whole PNG file, and the seed that makes it again."""

    data: bytes
    seed: int


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens of a request; ``prompt`` counts all of the prompt, ``cached`` what was read before."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0


class Timings(Struct, frozen=True, kw_only=True):
    """Where the time went, in nanoseconds."""

    total: int = 0
    load: int = 0
    prompt: int = 0
    completion: int = 0


class Done(Struct, frozen=True, kw_only=True, tag="done"):
    """The last event of a request that went well.

    ``reasons`` has one for each sample where there are several, ``reason`` is the first's.
    ``usage.completion`` counts all samples. ``context`` are the token ids of prompt and answer, for
    Ollama's ``context``; ``stop_string`` is the one of the options that ended the answer, if one did.
    """

    reason: Reason
    reasons: tuple[Reason, ...] = ()
    usage: Usage = Usage()
    timings: Timings = Timings()
    context: tuple[int, ...] = ()
    stop_string: str = ""


class Failed(Struct, frozen=True, kw_only=True, tag="failed"):
    """The last event of a request that failed."""

    code: str
    message: str

    @classmethod
    def of(cls, error: InferenceError) -> Failed:
        return cls(code=error.code, message=error.message)

    def error(self) -> InferenceError:
        return from_code(self.code, self.message)


class LoadedModel(Struct, frozen=True, kw_only=True):
    """A model in memory. ``expires_in`` seconds, negative for never; ``size`` in bytes.

    ``id`` is the model's own name, ``name`` the one that it was last asked for by.
    ``device`` and ``dtype`` are where its weights are and in which numbers; empty while it loads.
    ``active`` requests use it or wait for it; it answers ``places`` at a time, 0 where it takes up all of
    them together. ``stopping``: it goes as soon as those who use it are done. ``manner``: how it is run,
    for people.
    """

    name: str
    state: Literal["loading", "ready"]
    device: str
    size: int
    context_length: int
    expires_in: float
    active: int
    quantization: Quantization = "none"
    dtype: str = ""
    id: str = ""
    stopping: bool = False
    manner: str = ""
    places: int = 0

    @property
    def waiting(self) -> int:
        """Those of the requests that nothing is done for yet."""
        if self.state == "loading":
            return self.active
        return max(0, self.active - self.places) if self.places else 0


class EngineStatus(Struct, frozen=True, kw_only=True, tag="engine_status"):
    """What the engine holds. ``steps`` counts decoding steps since it started.

    ``line`` are models that wait for the memory of others, with those who ask for them.
    """

    pid: int
    steps: int
    models: tuple[LoadedModel, ...] = ()
    line: tuple[LoadedModel, ...] = ()


Progress = Queued | Loading | Loaded | Reading | Drawing
Piece = Text | Thought | Called
Result = Rendered | Tokens | Embedded | Ranked | Heard | Picture
Event = Progress | FellBack | Noted | Piece | Result | EngineStatus | Done | Failed
Events = AsyncGenerator[Event, None]
