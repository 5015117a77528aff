"""The blocks that Anthropic's messages consist of, and our messages made of them.

A message of theirs may be several of ours: the results of tools come in a user's message there,
and are messages of their own here. Source: Anthropic's reference of the Messages API.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Annotated, Any

import msgspec
from msgspec import Struct, ValidationError

from hugweb.api.depth import arguments_checked
from hugweb.api.documents import TEXT_FILE_PATTERN, file_text, framed
from hugweb.api.fields import IMAGE_PATTERN, case, told
from hugweb.api.media import is_image
from hugweb.api.remarks import NOTE, remark
from inference.errors import InvalidRequest, Unsupported
from inference.pairing import results_paired
from inference.protocol import MAX_CALLS, MAX_IMAGES, MAX_MESSAGES, Message, Role, ToolCall

NO_CITATIONS = "citations are not here: the model answers without them"
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}


class Source(Struct, kw_only=True):
    """Where an image or a document is."""

    type: str
    data: str | None = None
    content: str | list[Block] | None = None


class Citations(Struct, kw_only=True):
    """Whether the answer is to say where in a document it has its words from."""

    enabled: bool = False


class Block(Struct, kw_only=True):
    """A part of a message; which fields count is said by ``type``."""

    type: str
    text: str = ""
    thinking: str = ""
    source: Source | str | None = None
    title: str | None = None
    context: str | None = None
    citations: Citations | list[Any] | None = None
    id: str = ""
    name: str = ""
    input: dict[str, Any] = {}
    tool_use_id: str = ""
    content: str | list[Block] | None = None
    is_error: bool | None = None


def _content(*blocks: dict[str, Any]) -> dict[str, Any]:
    """A text, or a list of ``blocks``."""
    return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"anyOf": [*blocks]}}]}


_IMAGE = {
    "type": "object",
    "properties": {
        "type": {"const": "base64"},
        "data": {"type": "string", "pattern": f"^{IMAGE_PATTERN}$"},
    },
    "required": ["type", "data"],
}
_TEXT = case("type", "text")
_IN_TEXT = case("type", "text", needs=("data",), data={"type": "string"})
_IN_BLOCKS = case(
    "type",
    "content",
    needs=("content",),
    content=_content(_TEXT, case("type", "image", needs=("source",), source=_IMAGE)),
)
_IN_FILE = case(
    "type", "base64", needs=("data",), data={"type": "string", "pattern": f"^{TEXT_FILE_PATTERN}$"}
)
_DOCUMENT = {"type": "object", "anyOf": [_IN_TEXT, _IN_BLOCKS, _IN_FILE]}
_SHOWN = (
    case("type", "text", "thinking", "redacted_thinking"),
    case("type", "image", needs=("source",), source=_IMAGE),
    case("type", "document", needs=("source",), source=_DOCUMENT),
    case(
        "type",
        "search_result",
        needs=("source", "title", "content"),
        source={"type": "string"},
        title={"type": "string"},
        content={"type": "array", "items": {"anyOf": [_TEXT]}},
    ),
)
_GIVEN = {"minLength": 1}
_CALL = case("type", "tool_use", needs=("id", "name"), id=_GIVEN, name=_GIVEN)
_RESULT = case(
    "type",
    "tool_result",
    needs=("tool_use_id",),
    tool_use_id=_GIVEN,
    content={"anyOf": [*_content(*_SHOWN)["anyOf"], {"type": "null"}]},
)
_CASES = [
    case("role", "assistant", content=_content(*_SHOWN, _CALL, _RESULT)),
    case("role", "user", "system", content=_content(*_SHOWN, _RESULT)),
]
Content = str | list[Block]
System = str | list[Annotated[Block, told(anyOf=[_TEXT])]]


class GivenMessage(Struct, kw_only=True):
    """One message of a request."""

    role: str
    content: Content


DescribedMessage = Annotated[GivenMessage, told(anyOf=_CASES)]


def messages_ours(given: Sequence[GivenMessage]) -> tuple[Message, ...]:
    """``given`` as ours, every result of a tool with the name of the tool it comes from."""
    if not given:
        raise InvalidRequest("messages is required")
    found = (
        message for number, each in enumerate(given) for message in _messages(each, f"messages.{number}")
    )
    messages = list(islice(found, MAX_MESSAGES + 1))
    if len(messages) > MAX_MESSAGES:
        raise InvalidRequest(
            f"With the results of tools there are more than {MAX_MESSAGES} messages, which are too many."
        )
    return results_paired(messages)


def count_documents(given: Sequence[GivenMessage]) -> int:
    """How many documents are in ``given``, also in results of tools; they take time to read."""
    blocks = [block for message in given for block in _blocks(message.content)]
    inner = [block for outer in blocks for block in _blocks(outer.content or "")]
    return sum(block.type == "document" for block in (*blocks, *inner))


def text_of(content: Content, place: str) -> str:
    """``content`` that may be text only, its blocks joined by line breaks."""
    if isinstance(content, str):
        return content
    for block in content:
        if block.type != "text":
            raise InvalidRequest(f"{place}: only text blocks are taken, not '{block.type}'.")
    return "\n".join(block.text for block in content)


def _messages(given: GivenMessage, place: str) -> Iterator[Message]:
    role = _ROLES.get(given.role)
    if role is None:
        raise InvalidRequest(f"{place}.role: must be user or assistant, not '{given.role}'.")
    blocks = _blocks(given.content)
    rest = [block for block in blocks if block.type != "tool_result"]
    for number, block in enumerate(blocks):
        if block.type == "tool_result":
            yield _result(block, f"{place}.content.{number}")
    if rest or not blocks:
        yield _message(role, rest, place)


def _blocks(content: Content) -> Sequence[Block]:
    return [Block(type="text", text=content)] if isinstance(content, str) else content


def _message(role: Role, blocks: Sequence[Block], place: str) -> Message:
    texts, thoughts, images, calls = [], [], [], []
    for number, block in enumerate(blocks):
        where = f"{place}.content.{number}"
        match block.type:
            case "text":
                texts.append(block.text)
            case "thinking":
                thoughts.append(block.thinking)
            case "redacted_thinking":
                pass
            case "image":
                images.append(_image(block, where))
            case "document":
                document = _document(block, where)
                texts.append(document.content)
                images += document.images
            case "search_result":
                texts.append(_found(block, where))
            case "tool_use" if role == "assistant":
                calls.append(_call(block, where))
            case _:
                raise Unsupported(f"{where}: blocks of type '{block.type}' are not supported here.")
    if len(images) > MAX_IMAGES or len(calls) > MAX_CALLS:
        raise InvalidRequest(f"{place}: at most {MAX_IMAGES} images and {MAX_CALLS} calls are taken.")
    return Message(
        role=role,
        content="\n".join(texts),
        thinking="\n".join(thoughts),
        images=tuple(images),
        tool_calls=tuple(calls),
    )


def _result(block: Block, place: str) -> Message:
    """What a tool said; that it failed is said in words, since templates have no place for it."""
    if not block.tool_use_id:
        raise InvalidRequest(f"{place}: tool_result block missing required 'tool_use_id' field")
    message = _message("tool", _blocks(block.content or ""), place)
    text = f"Error: {message.content}" if block.is_error else message.content
    return msgspec.structs.replace(message, content=text, tool_call_id=block.tool_use_id)


def _call(block: Block, place: str) -> ToolCall:
    for name in ("id", "name"):
        if not getattr(block, name):
            raise InvalidRequest(f"{place}: tool_use block missing required '{name}' field")
    return ToolCall(id=block.id, name=block.name, arguments=arguments_checked(block.input, f"{place}.input"))


def _document(block: Block, place: str) -> Message:
    """A document as a message of its own: what it says, and the images in it."""
    _without_citations(block)
    source = _source(block)
    match source.type:
        case "text" if source.data is not None:
            message = Message(role="user", content=source.data)
        case "content" if source.content is not None:
            message = _message("user", _inner(source.content, f"{place}.source"), f"{place}.source")
        case "base64":
            text = file_text(_bytes(source, place), f"{place}.source.data")
            message = Message(role="user", content=text)
        case "text" | "content":
            raise InvalidRequest(f"{place}.source: there is nothing in it.")
        case _:
            raise Unsupported(
                f"{place}.source.type: documents are taken as text, content or base64, not '{source.type}'."
            )
    content = framed(message.content, title=block.title or "", context=block.context or "")
    return msgspec.structs.replace(message, content=content)


def _inner(content: Content, place: str) -> Sequence[Block]:
    """The blocks that a document consists of."""
    inner = _blocks(content)
    for number, block in enumerate(inner):
        if block.type not in ("text", "image"):
            raise Unsupported(
                f"{place}.content.{number}: documents hold text and images, not '{block.type}'."
            )
    return inner


def _found(block: Block, place: str) -> str:
    """What a search has found."""
    _without_citations(block)
    source, title, content = block.source, block.title, block.content
    if not isinstance(source, str) or title is None or not isinstance(content, list):
        raise InvalidRequest(f"{place}: search_result blocks need a source, a title and content in blocks.")
    return framed(text_of(content, f"{place}.content"), title=title, source=source)


def _without_citations(block: Block) -> None:
    if isinstance(block.citations, Citations) and block.citations.enabled:
        remark(NOTE, NO_CITATIONS)


def _source(block: Block) -> Source:
    return block.source if isinstance(block.source, Source) else Source(type="none")


def _bytes(source: Source, place: str) -> bytes:
    try:
        return msgspec.convert(source.data or "", bytes)
    except ValidationError as error:
        raise InvalidRequest(f"{place}.source.data: this is not base64.") from error


def _image(block: Block, place: str) -> bytes:
    source = _source(block)
    if source.type != "base64":
        raise Unsupported(f"invalid image source type: {source.type}. Only base64 images are supported.")
    data = _bytes(source, place)
    if not is_image(data):
        raise InvalidRequest(f"{place}.source.data: images must be PNG, JPEG, WebP or GIF files.")
    return data
