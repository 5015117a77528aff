"""The wire between web and engine: requests, events, and how they are framed.

One connection carries one request. The client sends one request frame; the engine answers with
event frames, of which exactly one, ``Done`` or ``Failed``, is the last. Closing the connection
cancels the request; a connection that ends without a last event means that the engine died.

A frame is a 4-byte big-endian length and that many bytes of MessagePack, a tagged ``msgspec``
struct: typed and checked on both sides, and never able to run code. The limits in ``Options`` are
checked wherever options are decoded: from an API request, an alias or the wire.

Knows nothing of Django, of models and of sockets beyond the two stream ends it is given.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Literal

from msgspec import DecodeError, Meta, Struct, msgpack

from inference.errors import EngineDied, InferenceError, InvalidRequest, TooLarge, from_code

MAX_FRAME = 64 * 2**20
LENGTH_BYTES = 4

MAX_MESSAGES = 1000
MAX_STOPS = 16
MAX_BIASES = 300
LONGEST_SCHEMA = 65_536
JSON = "json"
FOREVER = -1.0

Reason = Literal["stop", "length", "load", "unload", "status"]
Quantization = Literal["none", "int8", "int4"]
Role = Literal["system", "user", "assistant", "tool"]
TokenId = Annotated[int, Meta(ge=0)]
Bias = Annotated[float, Meta(ge=-100, le=100)]
StopString = Annotated[str, Meta(min_length=1, max_length=256)]


class ModelRef(Struct, frozen=True, kw_only=True):
    """A model on the engine's machine: the name it was asked for by, the folder that holds it, and
    the precision its weights are loaded in (``none``: as they are)."""

    name: str
    path: str
    quantization: Quantization = "none"


class Message(Struct, frozen=True, kw_only=True):
    """One message of a chat, as the model's template will see it."""

    role: Role
    content: str = ""


class Options(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How to generate. ``None`` means: as the model's own ``generation_config`` says.

    Names and meanings are Ollama's. ``num_predict`` -1 and -2 both mean "until the model stops or
    its context is full"; ``num_ctx`` lowers the context of this request, never of the model.
    Penalties look at the last ``repeat_last_n`` tokens of prompt and answer, at all of them for -1.
    ``logit_bias`` is added to the logits of single tokens (OpenAI's option).
    """

    num_predict: Annotated[int, Meta(ge=-2)] | None = None
    num_ctx: Annotated[int, Meta(ge=4)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    typical_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    repeat_last_n: Annotated[int, Meta(ge=-1)] | None = None
    repeat_penalty: Annotated[float, Meta(gt=0, le=100)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-100, le=100)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-100, le=100)] | None = None
    logit_bias: Annotated[dict[TokenId, Bias], Meta(max_length=MAX_BIASES)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: Annotated[tuple[StopString, ...], Meta(max_length=MAX_STOPS)] | None = None

    def over(self, base: Options) -> Options:
        """These options, with ``base`` where they say nothing."""
        merged = {
            name: getattr(base, name) if (value := getattr(self, name)) is None else value
            for name in self.__struct_fields__
        }
        return Options(**merged)


class Generate(Struct, frozen=True, kw_only=True, tag="generate"):
    """Generate text: from ``messages`` through the chat template, or from ``prompt`` as it is.

    ``context`` are token ids that stand before the prompt (Ollama's ``context``).
    ``keep_alive`` are seconds that the model stays loaded afterwards, negative for ever,
    ``None`` for the engine's default. ``format`` is ``json``, a JSON Schema, or empty. What was read
    for one ``owner`` is never reused for another.
    """

    model: ModelRef
    messages: Annotated[tuple[Message, ...], Meta(max_length=MAX_MESSAGES)] = ()
    prompt: str | None = None
    context: tuple[int, ...] = ()
    options: Options = Options()
    owner: str = ""
    format: Annotated[str, Meta(max_length=LONGEST_SCHEMA)] = ""
    keep_alive: float | None = None


class Load(Struct, frozen=True, kw_only=True, tag="load"):
    """Load a model, or keep a loaded one for longer."""

    model: ModelRef
    keep_alive: float | None = None


class Unload(Struct, frozen=True, kw_only=True, tag="unload"):
    """Let a model go as soon as nobody uses it."""

    model: ModelRef


class Status(Struct, frozen=True, kw_only=True, tag="status"):
    """Ask what is loaded and what the engine is doing."""


Request = Generate | Load | Unload | Status


class Queued(Struct, frozen=True, kw_only=True, tag="queued"):
    """Others are first: ``position`` of them, this request included."""

    position: int


class Loading(Struct, frozen=True, kw_only=True, tag="loading"):
    """The model is being loaded; ``seconds`` since that began."""

    seconds: float


class Reading(Struct, frozen=True, kw_only=True, tag="reading"):
    """The prompt is being read: ``done`` of ``total`` tokens."""

    done: int
    total: int


class Text(Struct, frozen=True, kw_only=True, tag="text"):
    """A piece of the answer, whole characters only, and how many tokens it took."""

    text: str
    tokens: int = 1


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

    ``context`` are the token ids of prompt and answer, for Ollama's ``context``.
    """

    reason: Reason
    usage: Usage = Usage()
    timings: Timings = Timings()
    context: tuple[int, ...] = ()


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
    """A model in memory. ``expires_in`` seconds, negative for never; ``size`` in bytes."""

    name: str
    state: Literal["loading", "ready"]
    device: str
    size: int
    context_length: int
    expires_in: float
    active: int


class EngineStatus(Struct, frozen=True, kw_only=True, tag="engine_status"):
    """What the engine holds. ``steps`` counts decoding steps since it started."""

    pid: int
    steps: int
    models: tuple[LoadedModel, ...] = ()


Event = Queued | Loading | Reading | Text | EngineStatus | Done | Failed
Events = AsyncGenerator[Event, None]

REQUESTS = msgpack.Decoder(Request)
EVENTS = msgpack.Decoder(Event)
_encoder = msgpack.Encoder()


def frame(message: Request | Event) -> bytes:
    """``message`` as it goes over the wire."""
    body = _encoder.encode(message)
    if len(body) > MAX_FRAME:
        raise TooLarge(f"The request is {len(body)} bytes long; at most {MAX_FRAME} are taken.")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The next frame's body. ``EngineDied`` when the other side has gone away."""
    try:
        length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
        if length > MAX_FRAME:
            raise TooLarge(f"A frame of {length} bytes was announced; at most {MAX_FRAME} are taken.")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise EngineDied from error


async def read_request(reader: asyncio.StreamReader) -> Request:
    """The request of a connection; ``InvalidRequest`` when it is not one."""
    try:
        return REQUESTS.decode(await read_frame(reader))
    except DecodeError as error:
        raise InvalidRequest(f"The request is malformed: {error}") from error


async def read_event(reader: asyncio.StreamReader) -> Event:
    """The next event of a connection; an event that cannot be read is an engine that died."""
    try:
        return EVENTS.decode(await read_frame(reader))
    except DecodeError as error:
        raise EngineDied("The engine sent something that is not an event.") from error
