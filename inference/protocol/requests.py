"""What the engine can be asked for."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from inference.protocol.limits import (
    LONGEST_GIVEN_TEMPLATE,
    LONGEST_HINT,
    LONGEST_SCHEMA,
    MAX_IMAGES,
    MAX_MESSAGES,
    MAX_SAMPLES,
    MAX_STEPS,
    MAX_TEXTS,
    MAX_TOOLS,
    MAX_TOP_LOGPROBS,
)
from inference.protocol.messages import Message, Tool
from inference.protocol.options import LARGEST, Options, TokenId

JSON = "json"

Quantization = Literal["none", "int8", "int4"]
Dtype = Literal["auto", "bfloat16", "float16", "float32"]
DEVICE = r"\A(auto|cpu|mps|cuda(:[0-9]{1,2})?)\Z"
Device = Annotated[str, Meta(pattern=DEVICE)]
ToolChoice = Literal["auto", "none", "required"]
TokenIds = tuple[TokenId, ...]
Think = bool | Literal["low", "medium", "high", "max"] | None


class ModelRef(Struct, frozen=True, kw_only=True):
    """A model on the engine's machine: the name it was asked for by, the folder that holds it, and how
    it is to be loaded: ``quantization`` (``none``: as it is), number format and device (``auto``: as
    the engine's settings say). ``id`` is the model's own name, which usage is counted under."""

    name: str
    path: str
    quantization: Quantization = "none"
    dtype: Dtype = "auto"
    device: Device = "auto"
    id: str = ""


class Generate(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="generate"):
    """Generate text: from ``messages`` through the chat template, or from ``prompt`` as it is.

    - ``context``: token ids that stand before the prompt (Ollama's ``context``); with an empty
      ``prompt`` they are all of it.
    - ``suffix``: what comes after the text that is wanted, for models that fill in.
    - ``template``: a chat template in Jinja in the place of the model's own.
    - ``tools`` may be called as ``tool_choice`` says; ``tool_name`` narrows ``required`` to one of
      them, and without ``parallel_tool_calls`` an answer holds one call at most.
    - ``think``: whether, or how hard, the model thinks first; ``None`` leaves it to the template.
    - ``format``: ``json``, a JSON Schema, or empty.
    - ``logprobs``: how many alternatives each token is reported with; ``None`` for no report.
    - ``echo``: the prompt is sent first, as text, with its own logprobs if any are wanted.
    - ``samples`` answers are drawn from one reading of the prompt.
    - ``truncate``: a chat that is too long loses its oldest messages, a plain prompt what lies between
      its first ``num_keep`` tokens and its end; else ``ContextOverflow``.
    - ``shift``: an answer that fills the context goes on without the oldest half; else it ends. With
      ``truncate``, a chat whose newest message alone is too long loses its middle as a plain prompt does.
    - ``render_only``: answer with ``Rendered`` instead of generating.
    - ``owner``: what was read for one owner is never reused for another.
    - ``keep_alive``: seconds that the model stays loaded afterwards, negative for ever, ``None`` for
      the engine's default.
    """

    model: ModelRef
    messages: Annotated[tuple[Message, ...], Meta(max_length=MAX_MESSAGES)] = ()
    prompt: str | None = None
    suffix: str = ""
    template: Annotated[str, Meta(max_length=LONGEST_GIVEN_TEMPLATE)] = ""
    context: tuple[TokenId, ...] = ()
    options: Options = Options()
    tools: Annotated[tuple[Tool, ...], Meta(max_length=MAX_TOOLS)] = ()
    tool_choice: ToolChoice = "auto"
    tool_name: str = ""
    parallel_tool_calls: bool = True
    think: Think = None
    format: Annotated[str, Meta(max_length=LONGEST_SCHEMA)] = ""
    logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    echo: bool = False
    samples: Annotated[int, Meta(ge=1, le=MAX_SAMPLES)] = 1
    truncate: bool = True
    shift: bool = False
    render_only: bool = False
    owner: str = ""
    keep_alive: float | None = None


class Tokenize(Struct, frozen=True, kw_only=True, tag="tokenize"):
    """Ask for the token ids of ``text`` (``Tokens``), without special tokens."""

    model: ModelRef
    text: str
    keep_alive: float | None = None


class Detokenize(Struct, frozen=True, kw_only=True, tag="detokenize"):
    """Ask for the text (``Text``) of token ids."""

    model: ModelRef
    tokens: tuple[TokenId, ...]
    keep_alive: float | None = None


class Embed(Struct, frozen=True, kw_only=True, tag="embed"):
    """Ask for one vector for each of ``texts`` (``Embedded``), of unit length.

    Tokens of the model stand for the text that they are. ``dimensions`` cuts the vectors, 0 leaves them
    whole. A text that is too long, for the model or for ``num_ctx`` tokens, is cut if ``truncate``, else
    it is a ``ContextOverflow``.
    """

    model: ModelRef
    texts: Annotated[tuple[str | TokenIds, ...], Meta(max_length=MAX_TEXTS)]
    dimensions: Annotated[int, Meta(ge=0, le=LARGEST)] = 0
    truncate: bool = True
    num_ctx: Annotated[int, Meta(ge=4, le=LARGEST)] | None = None
    keep_alive: float | None = None


class Rerank(Struct, frozen=True, kw_only=True, tag="rerank"):
    """Ask how well each of ``documents`` answers ``query`` (``Ranked``)."""

    model: ModelRef
    query: str
    documents: Annotated[tuple[str, ...], Meta(max_length=MAX_TEXTS)]
    keep_alive: float | None = None


class Transcribe(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="transcribe"):
    """Ask for what is said in ``sound``, a whole file (``Text`` as it is understood, then one ``Heard``).

    - ``language``: a code (``en``) or an English name; empty where the model is to tell it.
    - ``translate``: write it in English, whatever is spoken.
    - ``prompt``: what the sound is about, for the spelling of names.
    - ``temperature``: above 0 it is drawn by lot; at 0 only what came out badly is tried again so.
    """

    model: ModelRef
    sound: bytes
    language: Annotated[str, Meta(max_length=64)] = ""
    translate: bool = False
    prompt: Annotated[str, Meta(max_length=LONGEST_HINT)] = ""
    temperature: Annotated[float, Meta(ge=0, le=1)] = 0.0
    keep_alive: float | None = None


class Draw(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="draw"):
    """Ask for ``count`` pictures (``Drawing`` as they come into being, one ``Picture`` each).

    ``images`` are what is edited, ``mask`` (white where to paint) narrows that; sizes are pixels, 0
    for the model's own; ``strength`` says how far an edit may go from its image.
    """

    model: ModelRef
    prompt: str
    negative_prompt: str = ""
    images: Annotated[tuple[bytes, ...], Meta(max_length=MAX_IMAGES)] = ()
    mask: bytes = b""
    width: Annotated[int, Meta(ge=0, le=4096)] = 0
    height: Annotated[int, Meta(ge=0, le=4096)] = 0
    steps: Annotated[int, Meta(ge=0, le=MAX_STEPS)] = 0
    guidance: Annotated[float, Meta(ge=0, le=100)] | None = None
    strength: Annotated[float, Meta(ge=0, le=1)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    count: Annotated[int, Meta(ge=1, le=MAX_SAMPLES)] = 1
    keep_alive: float | None = None


class Load(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="load"):
    """Load a model, or keep a loaded one for longer.

    ``force``: also where the estimate says that it does not fit, or where it failed just before.
    """

    model: ModelRef
    keep_alive: float | None = None
    force: bool = False


class Unload(Struct, frozen=True, kw_only=True, tag="unload"):
    """Let a model go as soon as nobody uses it; ``every``: however it is loaded."""

    model: ModelRef
    every: bool = False


class Status(Struct, frozen=True, kw_only=True, tag="status"):
    """Ask what is loaded and what the engine is doing."""


class Ticket(Struct, frozen=True, kw_only=True, tag="ticket"):
    """Comes before a request: the id that it has where it came from, for the log."""

    id: Annotated[str, Meta(max_length=128)]


Work = Generate | Tokenize | Detokenize | Embed | Rerank | Transcribe | Draw
Request = Work | Load | Unload | Status
