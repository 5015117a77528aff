"""What other people's programs ask, in their order: at connecting, listing, chatting and stopping.

Taken from what their sources do, and from what they sent when they were run (docs/clients.md). Open WebUI and
Continue speak Ollama's API, LibreChat lists models by Ollama's and chats by OpenAI's, Codex asks for OpenAI's
responses and Claude Code for Anthropic's messages.
"""

from __future__ import annotations

import asyncio
import json
import re
import struct
from collections.abc import AsyncIterator
from datetime import datetime

import httpx
import openai

from inference.protocol import Done, Embedded, Event, Generate, LoadedModel, Request, Text, Unload
from tests.api.stage import HELLO, Stage, says
from tests.fakes import echo
from tests.serving import MODEL, eventually

OPEN_WEBUI = {
    "Content-Type": "application/json",
    "Authorization": "Bearer none",
    "X-OpenWebUI-User-Name": "A%20Name",
    "X-OpenWebUI-Chat-Id": "1",
}


async def endless(request: Request) -> AsyncIterator[Event]:
    yield Text(text="one ")
    await asyncio.Event().wait()


def test_open_webui(stage: Stage) -> None:
    """Connects, lists models and which are loaded, shows one, chats, stops, lets it go."""
    loaded = LoadedModel(
        name=MODEL, state="ready", device="cpu", size=9, context_length=512, expires_in=30, active=0
    )
    with httpx.Client(base_url=stage.server.url, headers=OPEN_WEBUI, timeout=30) as web:
        assert "version" in web.get("/api/version").json()
        models = {model["model"]: model for model in web.get("/api/tags").json()["models"]}
        stage.engine.models = (loaded,)
        (running,) = web.get("/api/ps").json()["models"]
        stage.engine.models = ()
        assert running["name"] in models
        assert datetime.fromisoformat(running["expires_at"]).timestamp() > 0
        assert "completion" in web.post("/api/show", json={"model": f"{MODEL}:latest"}).json()["capabilities"]
        body = {
            "model": f"{MODEL}:latest",
            "messages": [{"role": "system", "content": "Be brief."}, *HELLO],
            "options": {"temperature": 0.8, "num_ctx": 2048, "mirostat": 0, "stop": ["END"]},
            "stream": True,
            "keep_alive": "5m",
            "metadata": {"chat_id": "1"},
        }
        with web.stream("POST", "/api/chat", content=json.dumps(body)) as response:
            assert response.headers["content-type"] == "application/x-ndjson"
            frames = [json.loads(line) for line in response.iter_lines()]
        assert "".join(frame["message"]["content"] for frame in frames) == "one two three "
        assert {"eval_count", "prompt_eval_count"} <= set(frames[-1])
        stage.engine.script = endless
        with web.stream("POST", "/api/chat", json=body) as response:
            next(response.iter_lines())
        eventually(lambda: stage.engine.closed == 1, lambda: "still being answered")
        stage.engine.script = echo
        web.post("/api/generate", json={"model": f"{MODEL}:latest", "keep_alive": 0, "prompt": ""})
        assert isinstance(stage.engine.requests[-1], Unload)
        unload = {"model": "test/embedder:latest", "keep_alive": 0, "prompt": ""}
        assert web.post("/api/generate", json=unload).json()["done_reason"] == "unload"
        missing = web.post("/api/chat", json={**body, "model": "nope"})
        assert (missing.status_code, missing.json()["error"]) == (404, "model 'nope' not found")


def test_continue(stage: Stage) -> None:
    """Shows the model at start, lists, embeds, chats with tools in one piece, fills in, stops."""
    with httpx.Client(base_url=stage.server.url, timeout=30) as ide:
        assert f"{MODEL}:latest" in [model["name"] for model in ide.get("/api/tags").json()["models"]]
        stage.engine.script = says(
            Embedded(vectors=struct.pack("<4f", 1, 0, 0, 1), width=2), Done(reason="stop")
        )
        embedded = ide.post("/api/embed", json={"model": "test/embedder", "input": ["a", "b"]})
        assert embedded.json()["embeddings"] == [[1, 0], [0, 1]]
        stage.engine.script = echo
        ide.post(
            "/api/create", json={"model": "coder", "from": "test/insert", "parameters": {"num_ctx": 512}}
        )
        shown = ide.post("/api/show", json={"name": "coder"}).json()
        (line,) = shown["parameters"].split("\n")
        name, value = re.fullmatch(r'(\S+)\s+((?:".*")|\S+)', line).groups()  # type: ignore[union-attr]
        assert (name, int(value)) == ("num_ctx", 512)
        assert ".Suffix" in shown["template"], "by this it knows models that fill in"
        options = {"temperature": 0.01, "num_predict": 9, "num_ctx": 512, "mirostat": None, "stop": ["\n\n"]}
        fill = {"model": "coder", "prompt": "def f(", "suffix": ")", "options": options, "keep_alive": 1800}
        with ide.stream("POST", "/api/generate", json=fill) as response:
            frames = [json.loads(line) for line in response.iter_lines()]
        assert "".join(frame["response"] for frame in frames) == "def f( "
        sent = stage.engine.requests[-1]
        assert isinstance(sent, Generate)
        assert (sent.prompt, sent.suffix, sent.keep_alive) == ("def f(", ")", 1800)
        tool = {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}
        chat = {
            "model": "test/tools",
            "messages": HELLO,
            "options": options,
            "stream": False,
            "tools": [tool],
        }
        assert ide.post("/api/chat", json=chat).json()["message"]["content"] == "one two three "
        stage.engine.script = endless
        with ide.stream("POST", "/api/chat", json={**chat, "tools": [], "stream": True}) as response:
            next(response.iter_lines())
        eventually(lambda: stage.engine.closed == 1, lambda: "still being answered")


def test_librechat(stage: Stage) -> None:
    """Lists models by either API, chats in a stream, has a title made in one piece, stops."""
    listed = httpx.get(f"{stage.server.url}/api/tags", headers={"Authorization": "Bearer ollama"}).json()
    assert f"{MODEL}:latest" in [model["name"] for model in listed["models"]]
    client = openai.OpenAI(base_url=f"{stage.server.url}/v1", api_key="ollama", max_retries=0)
    assert MODEL in [model.id for model in client.models.list()]
    system = {"role": "system", "content": "Be brief."}
    chunks = client.chat.completions.create(  # type: ignore[call-overload]
        model=f"{MODEL}:latest",
        messages=[system, *HELLO],
        stream=True,
        stream_options={"include_usage": True},
        user="64f0c0ffee",
        temperature=0.7,
        top_p=1,
        presence_penalty=0,
        frequency_penalty=0,
    )
    said = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(said) == "one two three "
    title = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "a title"}], max_tokens=16, temperature=0.2
    )
    assert title.choices[0].message.content == "a title "
    stage.engine.script = endless
    with client.chat.completions.create(model=MODEL, messages=HELLO, stream=True) as stream:  # type: ignore[call-overload]
        next(iter(stream))
    eventually(lambda: stage.engine.closed == 1, lambda: "still being answered")


def test_codex(stage: Stage) -> None:
    """Looks whether there is an Ollama with the model, then sends all it has: namespaces, a search, notes."""
    with httpx.Client(base_url=stage.server.url, timeout=30) as codex:
        assert codex.get("/v1/models").status_code == 200
        assert "version" in codex.get("/api/version").json()
        assert "test/tools:latest" in [model["name"] for model in codex.get("/api/tags").json()["models"]]
        text = {"type": "input_text", "text": "Say hi"}
        run = {"type": "function", "name": "exec_command", "strict": False, "parameters": {"type": "object"}}
        body = {
            "model": "test/tools:latest",
            "stream": True,
            "input": [
                {"type": "message", "id": "msg_1", "role": "developer", "content": [text]},
                {"type": "message", "id": "msg_2", "role": "user", "content": [text]},
            ],
            "tools": [
                run,
                {"type": "namespace", "name": "agents", "description": "Agents.", "tools": [run]},
                {"type": "web_search", "external_web_access": False},
            ],
            "tool_choice": "auto",
            "parallel_tool_calls": True,
            "reasoning": {"summary": "auto"},
            "store": False,
            "include": ["reasoning.encrypted_content"],
            "prompt_cache_key": "1",
            "client_metadata": {"installation": "1"},
        }
        answer = codex.post("/v1/responses", json=body, headers={"accept": "text/event-stream"})
    assert answer.status_code == 200
    assert answer.text.endswith("\n\n")
    assert "event: response.completed" in answer.text
    sent = stage.engine.requests[-1]
    assert isinstance(sent, Generate)
    assert [tool.name for tool in sent.tools] == ["exec_command", "agents.exec_command"]


def test_claude_code(stage: Stage) -> None:
    """Puts a system's message among the others, and marks of caches, betas and a context that is managed."""
    marked = {"cache_control": {"type": "ephemeral"}}
    text = {"type": "text", "text": "Say hi"}
    body = {
        "model": "test/tools",
        "max_tokens": 32000,
        "stream": True,
        "system": [{"type": "text", "text": "Be brief.", **marked}],
        "messages": [
            {"role": "user", "content": [text, {**text, **marked}]},
            {"role": "system", "content": "There are agents."},
        ],
        "tools": [{"name": "Bash", "description": "Runs.", "input_schema": {"type": "object"}, **marked}],
        "metadata": {"user_id": "1"},
        "thinking": {"type": "disabled"},
        "context_management": {"edits": []},
    }
    headers = {"authorization": "Bearer ollama", "anthropic-version": "2023-06-01", "anthropic-beta": "a,b"}
    url = f"{stage.server.url}/v1/messages?beta=true"
    answer = httpx.post(url, json=body, headers=headers, timeout=30)
    assert answer.status_code == 200
    assert "event: message_stop" in answer.text
