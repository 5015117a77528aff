"""A response before anything is in it: what was asked for, told back."""

from __future__ import annotations

import time

from hugweb.api.openai.frames import Frame
from hugweb.api.openai.responses.output import IN_PROGRESS
from hugweb.api.openai.responses.requests import ResponseBody
from inference.protocol import Generate, Tool


def new_response(id: str, body: ResponseBody, asked: Generate) -> Frame:
    """The response of that ``id`` to ``body``, which ``asked`` is sent to the engine for."""
    return {
        "id": id,
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "status": IN_PROGRESS,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": body.max_tool_calls,
        "metadata": body.metadata,
        "model": body.model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls,
        "previous_response_id": body.previous_response_id,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": {"effort": body.reasoning.effort, "summary": None},
        "safety_identifier": body.safety_identifier,
        "service_tier": "default",
        "store": body.store,
        "temperature": asked.options.temperature,
        "text": {"format": _format(body)},
        "tool_choice": _choice(asked),
        "tools": [_tool(tool) for tool in asked.tools],
        "top_logprobs": body.top_logprobs,
        "top_p": asked.options.top_p,
        "truncation": body.truncation,
        "usage": None,
        "user": body.user,
    }


def _choice(asked: Generate) -> Frame | str:
    return {"type": "function", "name": asked.tool_name} if asked.tool_name else asked.tool_choice


def _format(body: ResponseBody) -> Frame:
    """What the text had to be: a schema has a name there, whether it was given one or not."""
    given = body.text.format
    if given is None or given.type != "json_schema":
        return {"type": given.type if given else "text"}
    return {
        "type": given.type,
        "name": given.name or "answer",
        "description": given.description,
        "schema": given.json_schema.schema if given.json_schema else given.schema,
        "strict": True,
    }


def _tool(tool: Tool) -> Frame:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": True,
    }
