"""An engine that answers every kind of request, models that can do all there is, and one of each thing
that can be asked for by its id."""

from __future__ import annotations

import base64
import io
import json
import struct
import wave
from collections.abc import AsyncIterator

from PIL import Image

from inference.protocol import (
    Called,
    Detokenize,
    Done,
    Draw,
    Drawing,
    Embed,
    Embedded,
    Event,
    Generate,
    Load,
    Logprob,
    Picture,
    Ranked,
    Rendered,
    Request,
    Rerank,
    Text,
    Thought,
    Tokenize,
    Tokens,
    ToolCall,
    Unload,
    Usage,
)
from tests.api.rest.conftest import People

ABLE, DRAWS = "test/able", "test/draws"
MODELS = f"""
import django; django.setup()
from inference.models import ModelRecord
able = ["completion", "tools", "thinking", "vision", "audio", "insert", "embedding", "rerank"]
for name, capabilities in (({ABLE!r}, able), ({DRAWS!r}, ["image"])):
    ModelRecord.objects.update_or_create(name=name, defaults=dict(
        source="store", folder=name, architecture="llama", capabilities=capabilities,
        parameters=1000, dtype="BF16", size=2000, digest="2" * 64, context_length=2048,
    ))
"""
LOGPROB = Logprob(
    token=1,
    text="a",
    logprob=-0.5,
    raw=b"a",
    top=(Logprob(token=2, text="b", logprob=float("-inf"), raw=b"b"),),
)


def _safetensors() -> bytes:
    header = json.dumps({"weight": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)


# As little as a model can be, made without torch; none that could be loaded.
HUB_FILES = {
    "config.json": b'{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}',
    "tokenizer.json": b'{"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}',
    "model.safetensors": _safetensors(),
}


def _png() -> bytes:
    file = io.BytesIO()
    Image.new("RGBA", (2, 2)).save(file, "PNG")
    return file.getvalue()


def _wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", "NONE"))
        sound.writeframes(bytes(320))
    return file.getvalue()


PICTURE, SOUND = _png(), _wav()
PICTURE_URL = "data:image/png;base64," + base64.b64encode(PICTURE).decode()


def things(people: People) -> dict[str, object]:
    """An id of each kind of thing, of boss's where they are somebody's, by how its addresses begin."""

    def made(path: str, body: dict[str, object]) -> object:
        status, answer = people.ask("boss", "POST", path, body)
        assert status in (200, 201), answer
        return answer["id"]

    def found(name: str) -> object:
        return people.ask("boss", "GET", f"/rest/{name}/")[1]["results"][0]["id"]

    picture = _uploaded(people)
    return {
        "/rest/aliases/": made("/rest/aliases/", {"name": "there", "model": ABLE}),
        "/rest/conversations/": people.known["boss talk"],
        "/rest/messages/": found("messages"),
        "/rest/models/": found("models"),
        "/rest/keys/": found("keys"),
        "/rest/attachments/": picture,
        "/attachments/": picture,
        "/v1/responses/": made("/v1/responses", {"model": ABLE, "input": "Hi"}),
    }


def _uploaded(people: People) -> object:
    form = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        + PICTURE
        + b"\r\n--x--\r\n"
    )
    headers = {
        "Content-Type": "multipart/form-data; boundary=x",
        "Authorization": f"Bearer {people.known['boss']}",
    }
    return json.loads(people.stage.request("POST", "/rest/attachments/", form, headers)[2])["id"]


async def answer(request: Request) -> AsyncIterator[Event]:
    """Each kind of event that an engine may send to ``request``."""
    reason = "load" if isinstance(request, Load) else "unload" if isinstance(request, Unload) else "stop"
    match request:
        case Generate(render_only=True):
            yield Rendered(text="one", tokens=3)
        case Generate():
            for event in _generated(request):
                yield event
        case Embed(texts=texts):
            yield Embedded(vectors=struct.pack("<2f", 0.6, 0.8) * len(texts), width=2)
        case Rerank(documents=documents):
            yield Ranked(scores=tuple(1 / (1 + number) for number in range(len(documents))))
        case Draw(count=count):
            yield Drawing(done=1, total=2)
            for seed in range(count):
                yield Picture(data=b"\x89PNG", seed=seed)
        case Tokenize():
            yield Tokens(tokens=(1, 2))
        case Detokenize():
            yield Text(text="one two")
    yield Done(reason=reason, usage=Usage(prompt=3, completion=2, cached=1), context=(1, 2))


def _generated(request: Generate) -> list[Event]:
    logprobs = () if request.logprobs is None else (LOGPROB,)
    events: list[Event] = []
    for sample in range(request.samples):
        if request.think:
            events.append(Thought(text="hm", tokens=1, sample=sample))
        events.append(Text(text="one ", sample=sample, logprobs=logprobs))
        if request.tools and request.tool_choice != "none":
            call = ToolCall(name=request.tools[0].name, arguments={"a": 1})
            events.append(Called(call=call, sample=sample))
    return events
