"""Chat completions: parse, ask, write."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase

from aliases.answering import events_of
from hugweb.api.body import parse
from hugweb.api.described import EVENTS, JSON, Operation
from hugweb.api.documents import reading
from hugweb.api.endpoint import endpoint
from hugweb.api.fields import TOOLS_TO_CHOOSE
from hugweb.api.generation import begin, fold
from hugweb.api.openai.answers import ChatChunk, ChatCompletion
from hugweb.api.openai.capabilities import resolve
from hugweb.api.openai.chat.frames import Chunks, completion
from hugweb.api.openai.chat.requests import TOP_LOGPROBS, ChatBody
from hugweb.api.responses import EVENT_STREAM, json_response, stream_response
from inference.errors import NotFound


@Operation(
    "Answer the messages of a chat",
    takes={JSON: ChatBody},
    needs=("model", "messages"),
    rules=(TOOLS_TO_CHOOSE, TOP_LOGPROBS),
    gives={JSON: ChatCompletion, EVENTS: ChatChunk},
)
@endpoint("POST")
async def chat_completions(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, ChatBody)
    target = await resolve(body.model, "completion", "chat")
    asked = await reading(body.files, body.request, target)
    answer = await begin(events_of(target, asked))
    if body.stream:
        usage = bool(body.stream_options.include_usage)
        chunks = Chunks(body.model, body.n, include_usage=usage, with_functions=body.with_functions)
        return stream_response(request, answer, chunks, EVENT_STREAM)
    folded = await fold(answer, body.n)
    return json_response(completion(body.model, folded, with_functions=body.with_functions))


@Operation("Refused: no chat completion is kept", statuses=())
@endpoint("GET", "POST", "DELETE")
async def stored_completion(request: HttpRequest, id: str) -> HttpResponseBase:
    raise NotFound(
        f"Chat completion with id '{id[:64]}' not found. None are kept here, whatever `store` says;"
        " responses are: /v1/responses."
    )
