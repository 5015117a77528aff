"""What is read for GraphQL: models of all providers with their aliases, and one's own conversations."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.models import User

from aliases.models import Alias
from aliases.selectors import alias_resolve, aliases_visible, models_named, names_of
from conversations.models import Conversation as ConversationRow
from conversations.models import Message as MessageRow
from conversations.selectors import conversation_get, history_get
from hugweb.api.graphql.types import (
    Conversation,
    ConversationInfo,
    Message,
    ModelDetails,
    ModelInfo,
    conversation_fields,
    model_fields,
)
from inference.asker import asker
from inference.models import ModelRecord
from inference.protocol import LoadedModel


def models_available(provider: str | None = None) -> list[ModelInfo]:
    """Every model and every alias of one that whoever asks may see, by name."""
    infos = [_info(record, alias) for record, alias in models_named(asker().user)]
    wanted = [info for info in infos if provider in (None, info.provider)]
    return sorted(wanted, key=lambda info: info.name.lower())


def _info(record: ModelRecord, alias: Alias | None) -> ModelInfo:
    name, description = (alias.name, alias.description) if alias else (record.name, "")
    return ModelInfo(**model_fields(name, record, description))  # type: ignore[arg-type]


def models_search(query: str) -> list[ModelInfo]:
    """Those whose name, description or architecture holds every word of ``query``, in any case."""
    words = query.lower().split()

    def text(info: ModelInfo) -> str:
        return f"{info.name} {info.description or ''} {info.metadata.architecture}".lower()

    return [info for info in models_available() if all(word in text(info) for word in words)]


def model_details(name: str, loaded: tuple[LoadedModel, ...]) -> ModelDetails:
    """All that is known of the model or alias ``name``; ``ModelNotFound``."""
    target = alias_resolve(name)
    record, alias = target.record, target.alias
    aliases = names_of(record)
    known = {each.lower() for each in (record.name, *aliases)}
    return ModelDetails(
        **model_fields(target.model.name, record, alias.description if alias else ""),  # type: ignore[arg-type]
        model=record.name,
        revision=record.revision or None,
        kind=record.kind,
        dtype=record.dtype,
        quantization=target.model.quantization,
        digest=record.digest,
        tasks=record.capabilities,
        aliases=_seen(aliases),
        loaded=any(each.name.lower() in known for each in loaded),
    )


def _seen(names: list[str]) -> list[str]:
    """Those of the aliases ``names`` that whoever asks may see."""
    return list(aliases_visible(asker().user).filter(name__in=names).values_list("name", flat=True))


def conversations_of(user: User, limit: int, offset: int) -> list[ConversationInfo]:
    """A part of ``user``'s conversations, the latest first."""
    rows = ConversationRow.objects.filter(user=user)[offset : offset + limit]
    return [ConversationInfo(**conversation_fields(row)) for row in rows]  # type: ignore[arg-type]


def conversation_of(user: User, conversation_id: UUID) -> Conversation:
    """One of ``user``'s conversations with its last messages; ``NotFound``."""
    row = conversation_get(user=user, conversation_id=conversation_id)
    said: list[MessageRow] = list(history_get(conversation=row).messages)
    return Conversation(
        **conversation_fields(row),  # type: ignore[arg-type]
        messages=[Message.of(message) for message in said],
    )
