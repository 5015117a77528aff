"""The queries of GraphQL, and the limits that each has to keep.

There are no lists in lists, so what a query costs is bounded by its fields: their depth, how often
one may be asked under another name, and how long a query is.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import strawberry
from asgiref.sync import sync_to_async
from graphql import GraphQLError
from strawberry.extensions import MaskErrors, MaxAliasesLimiter, MaxTokensLimiter, QueryDepthLimiter
from strawberry.types import ExecutionContext, Info

from hugweb.api.graphql import models
from hugweb.api.graphql.types import Conversation, ConversationInfo, ModelDetails, ModelInfo, Provider
from hugweb.api.rest.access import user_of
from inference.engines import engines_loaded
from inference.errors import InferenceError, InvalidRequest
from inference.providers.configs import providers_configured
from inference.providers.registry import PROVIDERS

MOST = 200
DEEPEST, MOST_ALIASES, MOST_TOKENS = 6, 10, 400
LONGEST_QUERY = 200

Name = Annotated[str, strawberry.argument(description="A model's id or an alias.")]


@strawberry.type
class Query:
    @strawberry.field(description="The models of all providers, or of one, with their aliases.")
    async def available_models(self, provider: str | None = None) -> list[ModelInfo]:
        return await sync_to_async(models.models_available)(provider)

    @strawberry.field(description="The models in whose description every word of the query stands.")
    async def search_models(self, query: str) -> list[ModelInfo]:
        if len(query) > LONGEST_QUERY:
            raise InvalidRequest(f"A search has at most {LONGEST_QUERY} characters.")
        return await sync_to_async(models.models_search)(query)

    @strawberry.field(description="All that is known of a model.")
    async def model_details(self, model_name: Name) -> ModelDetails:
        found = await engines_loaded(PROVIDERS)
        loaded = tuple(model for held in found.values() for model in held or ())
        return await sync_to_async(models.model_details)(model_name, loaded)

    @strawberry.field(description="Who answers, the highest priority first.")
    async def providers(self) -> list[Provider]:
        rows = await sync_to_async(providers_configured)()
        found = await engines_loaded(row.name for row in rows)
        return [
            Provider(
                name=row.name,
                enabled=row.enabled,
                priority=row.priority,
                healthy=found[row.name] is not None,
            )
            for row in rows
        ]

    @strawberry.field(description="Your conversations, the latest first.")
    async def conversations(self, info: Info, limit: int = 50, offset: int = 0) -> list[ConversationInfo]:
        if not (1 <= limit <= MOST and 0 <= offset <= 1_000_000):
            raise InvalidRequest(f"The limit is from 1 to {MOST}, the offset from 0.")
        return await sync_to_async(models.conversations_of)(user_of(info.context.request), limit, offset)

    @strawberry.field(description="One of your conversations.")
    async def conversation(self, info: Info, id: UUID) -> Conversation:
        return await sync_to_async(models.conversation_of)(user_of(info.context.request), id)


def _is_ours(error: GraphQLError) -> bool:
    """Whether ``error`` is a fault of ours, whose text is for the log alone."""
    return not isinstance(error.original_error, InferenceError | GraphQLError | None)


def _code(error: GraphQLError) -> GraphQLError:
    """``error`` with the code of ours, which clients can act on."""
    if isinstance(error.original_error, InferenceError):
        error.extensions = {"code": error.original_error.code}
    return error


class Errors(MaskErrors):
    """Errors of the tree as they are, with their code; others as ``InferenceError``."""

    def __init__(self) -> None:
        super().__init__(_is_ours, InferenceError().message)

    def _process_errors(self, errors: list[GraphQLError]) -> list[GraphQLError]:
        return super()._process_errors([_code(error) for error in errors])


class Schema(strawberry.Schema):
    """Logs faults of ours; what a client got wrong is told to the client alone."""

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        super().process_errors([error for error in errors if _is_ours(error)], execution_context)


schema = Schema(
    Query,
    extensions=[
        lambda: QueryDepthLimiter(max_depth=DEEPEST),
        lambda: MaxAliasesLimiter(max_alias_count=MOST_ALIASES),
        lambda: MaxTokensLimiter(max_token_count=MOST_TOKENS),
        Errors,
    ],
)
