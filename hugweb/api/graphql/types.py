"""What GraphQL tells of models, by the names of the mission's data models."""

from __future__ import annotations

from datetime import datetime
from typing import NewType
from uuid import UUID

import strawberry

from conversations.models import Conversation as ConversationRow
from conversations.models import Message as MessageRow
from inference.models import ModelRecord

BigInt = strawberry.scalar(
    NewType("BigInt", int), description="A whole number that 32 bits may not hold.", serialize=int
)


@strawberry.type
class ModelCapabilities:
    supports_vision: bool
    supports_streaming: bool
    max_context_length: int | None
    supported_languages: list[str] | None = None


@strawberry.type
class ModelMetadata:
    """``size`` in bytes."""

    size: BigInt  # type: ignore[valid-type]
    parameters: BigInt  # type: ignore[valid-type]
    architecture: str
    license: str | None
    last_updated: datetime


@strawberry.type
class ModelInfo:
    """A model, or an alias of one, by the name that it is asked by."""

    name: str
    provider: str
    display_name: str
    description: str | None
    capabilities: ModelCapabilities
    metadata: ModelMetadata


@strawberry.type
class ModelDetails(ModelInfo):
    """All that is known of a model; ``model`` is its own name, ``loaded`` whether it is in memory."""

    model: str
    revision: str | None
    kind: str
    dtype: str
    quantization: str
    digest: str
    tasks: list[str]
    aliases: list[str]
    loaded: bool


@strawberry.type
class Provider:
    """Who answers: whether it takes requests, which one comes first, and whether it answers now."""

    name: str
    enabled: bool
    priority: int
    healthy: bool


@strawberry.type
class Message:
    """``note`` is what was done other than asked."""

    id: UUID
    role: str
    content: str
    thinking: str
    note: str
    status: str
    model: str
    model_provider: str
    created: datetime
    prompt_tokens: int
    completion_tokens: int

    @classmethod
    def of(cls, row: MessageRow) -> Message:
        return cls(**{name: getattr(row, name) for name in cls.__annotations__})


@strawberry.type
class ConversationInfo:
    id: UUID
    title: str
    model: str
    model_provider: str
    created: datetime
    updated: datetime


@strawberry.type
class Conversation(ConversationInfo):
    """A conversation along its active branch, the last ``limit`` messages of it."""

    messages: list[Message]


def conversation_fields(row: ConversationRow) -> dict[str, object]:
    """What both types of a conversation hold."""
    return {name: getattr(row, name) for name in ConversationInfo.__annotations__}


def model_fields(name: str, record: ModelRecord, description: str = "") -> dict[str, object]:
    """What both types of a model hold, for one that is asked by ``name``."""
    return {
        "name": name,
        "provider": record.provider,
        "display_name": name.rpartition("/")[2],
        "description": description or None,
        "capabilities": ModelCapabilities(
            supports_vision="vision" in record.capabilities,
            supports_streaming="completion" in record.capabilities,
            max_context_length=record.context_length or None,
        ),
        "metadata": ModelMetadata(
            size=record.size,
            parameters=record.parameters,
            architecture=record.architecture,
            license=record.license or None,
            last_updated=record.modified,
        ),
    }
