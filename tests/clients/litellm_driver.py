"""Run by ``test_litellm.py`` in a process with litellm: asks a server everything, prints it as JSON.

The argument is the server's address; each line that comes in is a dialect, each that goes out what was
answered in it. Models: ``test/tools`` and ``test/embedder``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import litellm

QUESTION = {"role": "user", "content": "one two three"}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Tells.", "parameters": CITY}}
# It would print advice among the answers.
litellm.suppress_debug_info = True
# How litellm is told of a dialect: the name before the model's, and where it is.
DIALECTS = {
    "ollama": ("ollama_chat/", "ollama/", ""),
    "openai": ("openai/", "openai/", "/v1"),
}


def talk(url: str, dialect: str) -> dict[str, Any]:
    chat_prefix, embed_prefix, path = DIALECTS[dialect]
    server = {"api_base": url + path, "api_key": "none"}
    chat = {**server, "model": f"{chat_prefix}test/tools"}

    whole = litellm.completion(messages=[QUESTION], temperature=0.5, max_tokens=7, stop=["END"], **chat)
    pieces = list(litellm.completion(messages=[QUESTION], stream=True, **chat))
    asked = [{"role": "user", "content": "Weather?"}]
    called = litellm.completion(messages=asked, tools=[TOOL], **chat).choices[0]
    call = called.message.tool_calls[0]
    result = {"role": "tool", "tool_call_id": call.id, "name": "weather", "content": "22 degrees"}
    answered = litellm.completion(
        messages=[*asked, called.message.model_dump(), result], tools=[TOOL], **chat
    )
    streamed = list(litellm.completion(messages=asked, tools=[TOOL], stream=True, **chat))
    calls = [one for part in streamed for one in part.choices[0].delta.tool_calls or ()]
    try:
        litellm.completion(messages=[QUESTION], **server, model=f"{chat_prefix}nope")
        error = "none"
    except (litellm.APIConnectionError, litellm.NotFoundError) as raised:
        error = str(raised)
    embedded = litellm.embedding(input=["a", "b"], **server, model=f"{embed_prefix}test/embedder")
    return {
        "whole": whole.choices[0].message.content,
        "usage": whole.usage.total_tokens,
        "pieces": [part.choices[0].delta.content for part in pieces if part.choices[0].delta.content],
        "finish": pieces[-1].choices[0].finish_reason,
        "call": [called.finish_reason, call.function.name, json.loads(call.function.arguments)],
        "answered": answered.choices[0].message.content,
        "streamed": [calls[0].function.name, json.loads("".join(one.function.arguments for one in calls))],
        "error": error,
        "vectors": [one["embedding"] for one in embedded.data],
    }


for line in sys.stdin:
    sys.stdout.write(json.dumps(talk(sys.argv[1], line.strip())) + "\n")
    sys.stdout.flush()
