"""Completions: parse, ask for all prompts at once, write."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase

from aliases.answering import events_of
from hugweb.api.body import parse
from hugweb.api.described import EVENTS, JSON, Operation
from hugweb.api.endpoint import endpoint
from hugweb.api.generation import begin, fold
from hugweb.api.merging import merge
from hugweb.api.openai.answers import Completion
from hugweb.api.openai.capabilities import resolve
from hugweb.api.openai.completions.frames import Chunks, completion
from hugweb.api.openai.completions.requests import CompletionBody
from hugweb.api.responses import EVENT_STREAM, json_response, stream_response


@Operation(
    "Go on from prompts",
    takes={JSON: CompletionBody},
    needs=("model", "prompt"),
    gives={JSON: Completion, EVENTS: Completion},
)
@endpoint("POST")
async def completions(request: HttpRequest) -> HttpResponseBase:
    body = parse(request.body, CompletionBody)
    target = await resolve(body.model, "completion", "generate")
    asked = body.requests(target)
    answer = await begin(merge([events_of(target, one) for one in asked], body.samples))
    samples = len(asked) * body.samples
    logprobs = body.logprobs is not None
    if body.stream:
        usage = bool(body.stream_options.include_usage)
        chunks = Chunks(body.model, samples, logprobs=logprobs, include_usage=usage)
        return stream_response(request, answer, chunks, EVENT_STREAM)
    folded = await fold(answer, samples)
    return json_response(completion(body.model, folded, n=body.n, samples=body.samples, logprobs=logprobs))
