"""A model that cannot answer is stood in for, whichever dialect asks; nobody else's mistakes are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import AsyncClient

from aliases.models import Alias
from conversations.models import Message
from conversations.turns import TURNS
from inference.errors import (
    Busy,
    CannotLoad,
    ContextOverflow,
    DoesNotFit,
    EngineDied,
    InferenceError,
    InvalidRequest,
    LoadFailed,
    OutOfMemory,
    TimedOut,
    Unsupported,
)
from inference.models import ModelRecord
from inference.protocol import (
    Done,
    Draw,
    Embed,
    Embedded,
    Event,
    Failed,
    Generate,
    Load,
    Loading,
    Picture,
    Queued,
    Reason,
    Request,
    Text,
    Usage,
)
from inference.providers.registry import get_provider
from inference.usage.meter import QUEUED
from inference.usage.models import UsageRecord
from inference.usage.recorder import RECORDER
from tests.api.test_defaults import BODIES
from tests.fakes import FakeEngine

pytestmark = pytest.mark.django_db(transaction=True)
RESCUED = (LoadFailed, CannotLoad, DoesNotFit, OutOfMemory, TimedOut, EngineDied)
KEPT = (InvalidRequest, ContextOverflow, Unsupported, Busy)


class Stage:
    """An engine on which ``broken`` models, by their own names, fail as they are said to."""

    def __init__(self, address: Path) -> None:
        self.engine = FakeEngine(address, self.play)
        self.broken: dict[str, InferenceError] = {}
        self.late: dict[str, InferenceError] = {}

    async def play(self, request: Request) -> AsyncIterator[Event]:
        model = request.model.id  # type: ignore[union-attr]
        yield Loading(seconds=0.0)
        if error := self.broken.get(model):
            yield Failed.of(error)
            return
        if isinstance(request, Embed):
            yield Embedded(vectors=b"\0\0\x80?", width=1)
        elif isinstance(request, Draw):
            yield Picture(data=b"png", seed=1)
        elif isinstance(request, Generate):
            yield Text(text=f"I am {model}.")
        if error := self.late.get(model):
            yield Failed.of(error)
            return
        reason: Reason = "load" if isinstance(request, Load) else "stop"
        yield Done(reason=reason, usage=Usage(prompt=2, completion=3))

    @property
    def asked(self) -> list[str]:
        """The models that were asked, in order."""
        return [request.model.id for request in self.engine.requests]  # type: ignore[union-attr]


@pytest.fixture
async def stage(tmp_path: Path, settings: Any) -> AsyncIterator[Stage]:
    settings.ENGINE_ADDRESS = f"unix:{tmp_path}/e.sock"
    get_provider.cache_clear()
    made = Stage(tmp_path / "e.sock")
    async with made.engine:
        yield made
        await TURNS.close()
    TURNS.draining = False
    get_provider.cache_clear()


@pytest.fixture(autouse=True)
def aliases(transactional_db: None) -> None:
    for name, able in (
        ("big", "completion"),
        ("blind", "embedding"),
        ("small", "completion"),
        ("last", "completion"),
    ):
        ModelRecord.objects.create(
            name=f"org/{name}",
            source="hub",
            folder=name,
            architecture="llama",
            digest="0",
            capabilities=[able, "tools"] if name == "last" else [able],
        )
    Alias.objects.create(
        name="spare", model="org/small", options={"top_k": 7, "temperature": 0.1}, system="x"
    )
    Alias.objects.create(
        name="main",
        model="org/big",
        system="Be brief.",
        quantization="int8",
        options={"temperature": 0.9},
        fallbacks=["org/gone", "org/blind", "spare", "org/last"],
    )


async def post(path: str, body: dict[str, Any]) -> Any:
    return await AsyncClient().post(path, body, content_type="application/json")


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("stream", [False, True])
async def test_each_dialect_is_answered_by_the_first_fallback_that_can(
    stage: Stage, path: str, stream: bool
) -> None:
    stage.broken["org/big"] = DoesNotFit("org/big needs too much.")
    answer = await post(path, {**BODIES[path], "model": "main", "stream": stream})
    body = b"".join([part async for part in answer]) if stream else answer.content
    assert answer.status_code == 200, body
    assert b"org/small" in body
    assert b'"main"' in body, "the answer carries the name that was asked for"
    assert answer["X-HugWeb-Model"] == "org/small"
    assert stage.asked == ["org/big", "org/small"]


async def test_what_stands_in_is_asked_by_the_alias_and_loaded_by_its_own(stage: Stage) -> None:
    stage.broken["org/big"] = LoadFailed("No.")
    await post("/api/chat", {**BODIES["/api/chat"], "model": "main", "options": {"seed": 3}})
    first, second = stage.engine.requests
    assert isinstance(first, Generate)
    assert isinstance(second, Generate)
    assert (first.model.quantization, second.model.quantization) == ("int8", "none")
    assert [message.content for message in second.messages] == ["Be brief.", "now"]
    options = second.options
    assert (options.temperature, options.top_k, options.seed) == (0.9, 7, 3)


@pytest.mark.parametrize("error", RESCUED)
async def test_what_another_model_may_do_better_is_tried(stage: Stage, error: type[InferenceError]) -> None:
    stage.broken["org/big"] = error("No.")
    answer = await post("/api/chat", {**BODIES["/api/chat"], "model": "main"})
    assert answer.status_code == 200
    assert answer["X-HugWeb-Model"] == "org/small"


@pytest.mark.parametrize("error", KEPT)
async def test_the_clients_own_mistakes_stay_theirs(stage: Stage, error: type[InferenceError]) -> None:
    stage.broken["org/big"] = error("No.")
    answer = await post("/api/chat", {**BODIES["/api/chat"], "model": "main"})
    assert answer.status_code == error.status
    assert stage.asked == ["org/big"]


async def test_what_has_begun_is_not_begun_again(stage: Stage) -> None:
    stage.late["org/big"] = OutOfMemory("No.")
    answer = await post("/api/chat", {**BODIES["/api/chat"], "model": "main", "stream": True})
    body = b"".join([part async for part in answer])
    assert b"I am org/big." in body
    assert b"error" in body
    assert stage.asked == ["org/big"]


async def test_where_none_can_the_first_error_is_told(stage: Stage) -> None:
    stage.broken |= {
        "org/big": DoesNotFit("The big one needs 99 GB."),
        "org/small": InvalidRequest("No."),
        "org/last": LoadFailed("Neither."),
    }
    answer = await post("/api/chat", {**BODIES["/api/chat"], "model": "main"})
    assert (answer.status_code, answer.json()["error"]) == (400, "The big one needs 99 GB.")
    assert stage.asked == ["org/big", "org/small", "org/last"]
    assert "X-HugWeb-Model" not in answer


async def test_only_those_are_asked_that_can_do_it(stage: Stage) -> None:
    await ModelRecord.objects.filter(name="org/big").aupdate(capabilities=["completion", "tools"])
    stage.broken["org/big"] = LoadFailed("No.")
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    answer = await post("/api/chat", {**BODIES["/api/chat"], "model": "main", "tools": tools})
    assert answer.status_code == 200
    assert stage.asked == ["org/big", "org/last"]


async def test_vectors_of_another_model_are_no_answer(stage: Stage) -> None:
    await Alias.objects.acreate(name="vectors", model="org/blind", fallbacks=["org/blind", "org/small"])
    stage.broken["org/blind"] = LoadFailed("No.")
    answer = await post("/api/embed", {"model": "vectors", "input": "x"})
    assert answer.status_code == 500
    assert stage.asked == ["org/blind"]


async def test_a_load_falls_back_too(stage: Stage) -> None:
    stage.broken["org/big"] = LoadFailed("No.")
    answer = await post("/api/generate", {"model": "main", "stream": False})
    assert answer.json()["done_reason"] == "load"
    assert [type(request) for request in stage.engine.requests] == [Load] * 2
    assert stage.asked == ["org/big", "org/small"]


async def test_a_model_that_is_not_here_is_told_of_like_one_that_fails(stage: Stage) -> None:
    await ModelRecord.objects.filter(name="org/big").adelete()
    answer = await post("/api/embed", {"model": "main", "input": "x"})
    assert answer["X-HugWeb-Model"] == "org/blind"
    await Alias.objects.filter(name="main").aupdate(fallbacks=["spare"])
    with RECORDER.running():
        answer = await post("/api/chat", {**BODIES["/api/chat"], "model": "main"})
    assert (answer.json()["model"], answer["X-HugWeb-Model"]) == ("main", "org/small")
    row = [row async for row in UsageRecord.objects.order_by("pk")][-1]
    assert (row.model, row.alias, row.outcome) == ("org/small", "main", "done")
    ann = await sync_to_async(User.objects.create_user)("ann")
    turn = await TURNS.start(user=ann, conversation=None, text="Hi", model="main")
    async with asyncio.timeout(30):
        await turn.task
    stored = await Message.objects.aget(pk=turn.message.pk)
    assert stored.note == "org/big could not answer, so org/small did."


async def test_usage_counts_it_once_for_the_model_that_did_the_work(stage: Stage) -> None:
    stage.broken["org/big"] = LoadFailed("No.")
    with RECORDER.running():
        await post("/api/chat", {**BODIES["/api/chat"], "model": "main"})
    (row,) = [row async for row in UsageRecord.objects.all()]
    assert (row.model, row.alias, row.outcome) == ("org/small", "main", "done")
    assert (row.prompt_tokens, row.completion_tokens) == (2, 3)


async def test_who_gave_up_waiting_for_one_model_does_not_wait_for_it_still(stage: Stage) -> None:
    async def play(request: Request) -> AsyncIterator[Event]:
        yield Queued(position=2)
        if request.model.id == "org/big":  # type: ignore[union-attr]
            yield Failed.of(TimedOut("There is no room for org/big."))
            return
        async for event in stage.play(request):
            yield event

    stage.engine.script = play
    answer = await post("/api/chat", {**BODIES["/api/chat"], "model": "main"})
    assert answer.status_code == 200
    assert (QUEUED["org/big"], QUEUED["org/small"]) == (0, 0)


async def test_the_log_says_why(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.broken["org/big"] = DoesNotFit("It needs 99 GB.")
    await post("/api/chat", {**BODIES["/api/chat"], "model": "main"})
    assert "org/big cannot answer: It needs 99 GB. org/small is asked." in caplog.text


async def test_an_engine_that_is_down_is_not_asked_for_another_model(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ENGINE_ADDRESS = f"unix:{tmp_path}/nobody.sock"
    get_provider.cache_clear()
    provider = get_provider("huggingface")
    monkeypatch.setattr(provider, "_client", type(provider._client)(f"{tmp_path}/nobody.sock", patience=0.0))  # type: ignore[attr-defined]
    asked: list[str] = []
    attempt = provider.attempt
    monkeypatch.setattr(
        provider, "attempt", lambda request: asked.append(request.model.id) or attempt(request)
    )  # type: ignore[func-returns-value, union-attr]
    answer = await post("/api/chat", {**BODIES["/api/chat"], "model": "main"})
    assert answer.status_code == 503
    assert asked == ["org/big"]
    get_provider.cache_clear()


async def test_the_page_says_who_answered(stage: Stage) -> None:
    stage.broken["org/big"] = LoadFailed("No.")
    ann = await sync_to_async(User.objects.create_user)("ann")
    turn = await TURNS.start(user=ann, conversation=None, text="Hi", model="main")
    async with asyncio.timeout(30):
        await turn.task
    stored = await Message.objects.aget(pk=turn.message.pk)
    assert (stored.content, stored.model) == ("I am org/small.", "org/small")
    assert stored.note == "org/big could not answer, so org/small did."
