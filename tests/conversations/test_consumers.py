"""The websocket: what a page hears, what it can miss, and what it cannot reach."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import OperationalError

from conversations import updates
from conversations.attachments import attachment_store
from conversations.markdown import render_blocks
from conversations.models import Message
from conversations.services import turn_open
from conversations.turns import TURNS
from inference.models import ModelRecord
from inference.protocol import Done, Event, Generate, Request, Text, Thought, Usage
from tests.conversations.conftest import Connect, Socket, wrapped
from tests.fakes import FakeEngine, gated
from tests.shapes import draw, saved

pytestmark = pytest.mark.django_db(transaction=True)

Page = dict[int, str]


def show(page: Page, heard: list[dict[str, Any]]) -> int:
    """Do with the updates what the page does with them; the last version."""
    version = 0
    for update in heard:
        if update["type"] == "update":
            version = update["version"]
            page.update((index, html) for index, html in update["blocks"])
            for index in [index for index in page if index >= update["count"]]:
                del page[index]
    return version


def text_of(page: Page) -> str:
    return "".join(page[index] for index in sorted(page))


async def hear_text(socket: Socket, page: Page, wanted: str) -> int:
    version = 0
    while wanted not in text_of(page):
        version = show(page, [await socket.hear()]) or version
    return version


async def ask(socket: Socket, text: str = "Hello there", **more: Any) -> dict[str, Any]:
    await socket.say(**{"type": "send", "text": text, "model": "tester", **more})
    started = await socket.hear()
    assert started["type"] == "started", started
    return started


async def attach(socket: Socket, started: dict[str, Any], version: int) -> None:
    await socket.say(
        type="attach",
        conversation=started["conversation"],
        message=started["message"],
        version=version,
    )


async def test_a_question_is_answered(connect: Connect, ann: User, model: ModelRecord) -> None:
    socket = await connect(ann)
    started = await ask(socket, "Hello <b>there</b>")
    assert started["url"] == f"/chat/{started['conversation']}/"
    assert "Hello &lt;b&gt;there" in started["html"]
    assert started["conversation"] in started["entry"]
    heard = await socket.hear_until("ended")
    page: Page = {}
    show(page, heard)
    assert text_of(page) == "<p>Hello &lt;b&gt;there&lt;/b&gt;</p>\n"
    assert heard[-2]["phase"] == {"name": "ended"}
    assert heard[-2]["stats"]["tokens"] == 2
    assert (heard[-1]["status"], heard[-1]["error"]) == ("complete", None)
    assert "2 tokens" in heard[-1]["foot"]
    again = await ask(socket, "More", conversation=started["conversation"])
    assert again["conversation"] == started["conversation"]


async def test_a_question_goes_with_its_pictures(
    connect: Connect, ann: User, eyes: ModelRecord, engine: FakeEngine, settings: Any, tmp_path: Path
) -> None:
    settings.HOME = tmp_path
    data = saved(draw("red", "circle", 0))
    picture = await sync_to_async(attachment_store)(user=ann, data=data)
    socket = await connect(ann)
    started = await ask(socket, model=eyes.name, attachments=[str(picture.pk)])
    assert f'<img src="/attachments/{picture.pk}/"' in started["html"]
    await socket.hear_until("ended")
    request = engine.requests[-1]
    assert isinstance(request, Generate)
    assert request.messages[-1].images == (data,)
    await socket.say(type="send", text="x", model=eyes.name, attachments=[str(uuid4()) for _ in range(9)])
    assert (await socket.hear())["type"] == "error"


async def test_thoughts_come_live_and_again_from_the_database(
    connect: Connect, ann: User, model: ModelRecord, engine: FakeEngine
) -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        yield Thought(text="Let me see.")
        yield Text(text="42")
        yield Done(reason="stop")

    engine.script = script
    socket = await connect(ann)
    started = await ask(socket)
    updates = [said for said in await socket.hear_until("ended") if said["type"] == "update"]
    await attach(socket, started, 0)
    updates += (await socket.hear_until("ended"))[:1]
    for update in updates[-2:]:
        assert update["thoughts_count"] == 1
    assert updates[-1]["thoughts"] == [[0, "<p>Let me see.</p>\n"]]
    assert "42" not in updates[-1]["thoughts"][0][1]


async def test_a_stranger_is_sent_to_log_in(connect: Connect) -> None:
    assert await (await connect(None)).closing_code() == 4401


async def test_a_user_who_is_locked_out_is_heard_no_more(
    connect: Connect, ann: User, model: ModelRecord
) -> None:
    socket = await connect(ann)
    await User.objects.filter(pk=ann.pk).aupdate(is_active=False)
    await socket.say(type="send", text="Hello", model="tester")
    assert await socket.closing_code() == 4401
    assert not await Message.objects.aexists()


async def test_deactivating_somebody_closes_their_sockets_at_once_and_no_others(
    connect: Connect, ann: User, bob: User, model: ModelRecord
) -> None:
    sockets, other = [await connect(ann), await connect(ann)], await connect(bob)
    ann.is_active = False
    await ann.asave()
    assert [await socket.closing_code() for socket in sockets] == [4401, 4401]
    bob.first_name = "Bob"
    await bob.asave()
    assert await other.receive_nothing()


@pytest.mark.parametrize("table", ["auth_user", "conversations_message"])
async def test_a_database_that_does_not_answer_is_told_of_and_the_socket_stays(
    connect: Connect, ann: User, model: ModelRecord, engine: FakeEngine, table: str
) -> None:
    def locked(execute: Any, sql: str, *rest: Any) -> Any:
        if f'"{table}"' in sql:
            raise OperationalError("database is locked")
        return execute(sql, *rest)

    socket = await connect(ann)
    async with wrapped(locked):
        await socket.say(type="send", text="Hello", model="tester")
        problem = await socket.hear()
    assert (problem["type"], problem["code"], problem["retryable"]) == ("error", "busy", True)
    assert (await ask(socket))["type"] == "started"


async def test_logging_out_elsewhere_ends_the_socket(connect: Connect, ann: User, model: ModelRecord) -> None:
    socket = await connect(ann)
    await Session.objects.all().adelete()
    await socket.say(type="detach")
    assert await socket.closing_code() == 4401


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        '{"type": "send"}',
        '{"type": "nonsense"}',
        '{"type": "send", "text": 5, "model": "tester"}',
        '{"type": "stop", "message": "no uuid"}',
        '{"type": "attach", "conversation": 1, "message": 2}',
        '{"type": "send", "text": "\\ud800", "model": "tester"}',
        '{"type": "send", "model": "tester", "text": "' + "x" * 200_001 + '"}',
        '{"type": "send", "text": " ", "model": "tester"}',
        '{"type": "send", "text": "Hello", "model": "nobody"}',
        '{"type": "send", "text": "Hello", "model": "../etc"}',
    ],
)
async def test_nonsense_is_answered_with_an_error(
    connect: Connect, ann: User, model: ModelRecord, text: str
) -> None:
    socket = await connect(ann)
    await socket.send_to(text_data=text)
    problem = await socket.hear()
    assert problem["type"] == "error"
    assert problem["message"]
    await ask(socket)


async def test_bytes_are_answered_with_an_error(connect: Connect, ann: User) -> None:
    socket = await connect(ann)
    await socket.send_to(bytes_data=b"\x00")
    assert (await socket.hear())["code"] == "invalid_request"


async def test_an_answer_that_nobody_writes_is_told_as_interrupted(
    connect: Connect, ann: User, model: ModelRecord
) -> None:
    opened = await sync_to_async(turn_open)(user=ann, conversation=None, text="Hello", model="tester")
    socket = await connect(ann)
    await attach(socket, {"conversation": str(opened.conversation.pk), "message": str(opened.answer.pk)}, 0)
    heard = await socket.hear_until("ended")
    assert heard[-1]["status"] == "interrupted"


async def test_an_answer_that_another_server_writes_is_followed(
    connect: Connect, ann: User, model: ModelRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "CHECKPOINT_SECONDS", 0.01)
    opened = await sync_to_async(turn_open)(user=ann, conversation=None, text="Hello", model="tester")
    row = Message.objects.filter(pk=opened.answer.pk)
    await row.aupdate(writer="another")
    socket, page = await connect(ann), {}
    await attach(socket, {"conversation": str(opened.conversation.pk), "message": str(opened.answer.pk)}, 7)
    assert (await socket.hear())["phase"]["name"] == "waiting"
    await row.aupdate(content="one")
    await hear_text(socket, page, "one")
    await row.aupdate(content="one two", status=Message.Status.COMPLETE)
    heard = await socket.hear_until("ended")
    show(page, heard)
    assert (text_of(page), heard[-1]["status"]) == ("<p>one two</p>\n", "complete")


async def test_a_conversation_that_goes_while_it_is_followed_is_told_of(
    connect: Connect, ann: User, model: ModelRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "CHECKPOINT_SECONDS", 0.01)
    opened = await sync_to_async(turn_open)(user=ann, conversation=None, text="Hello", model="tester")
    await Message.objects.filter(pk=opened.answer.pk).aupdate(writer="another")
    socket = await connect(ann)
    await attach(socket, {"conversation": str(opened.conversation.pk), "message": str(opened.answer.pk)}, 0)
    await socket.hear()
    await sync_to_async(opened.conversation.delete)()
    heard = await socket.hear_until("error")
    assert heard[-1]["code"] == "not_found"


async def test_a_second_question_is_refused_while_the_first_is_answered(
    connect: Connect, engine: FakeEngine, ann: User, model: ModelRecord
) -> None:
    engine.script, _ = gated(["one"])
    socket = await connect(ann)
    started = await ask(socket)
    await socket.say(type="send", text="And?", model="tester", conversation=started["conversation"])
    problem = await socket.hear()
    assert (problem["type"], problem["code"], problem["retryable"]) == ("error", "busy", True)


async def test_stop_works_from_another_tab(
    connect: Connect, engine: FakeEngine, ann: User, model: ModelRecord
) -> None:
    engine.script, release = gated(["one ", "two "])
    asking, other = await connect(ann), await connect(ann)
    started = await ask(asking)
    await release()
    await hear_text(asking, {}, "one")
    await other.say(type="stop", message=started["message"])
    ended = (await asking.hear_until("ended"))[-1]
    assert ended["status"] == "stopped"
    assert "Try again" in ended["foot"]


async def test_an_engine_that_dies_is_told_in_words(
    connect: Connect, engine: FakeEngine, ann: User, model: ModelRecord
) -> None:
    engine.script, release = gated(["one ", "two "])
    socket = await connect(ann)
    await ask(socket)
    await release()
    await hear_text(socket, {}, "one")
    engine.die()
    ended = (await socket.hear_until("ended"))[-1]
    assert ended["status"] == "interrupted"
    assert ended["error"]["code"] == "engine_died"
    assert ended["foot"].count(ended["error"]["message"]) == 1


async def test_who_comes_back_gets_exactly_what_was_missed(
    connect: Connect, engine: FakeEngine, ann: User, model: ModelRecord
) -> None:
    engine.script, release = gated(["One.\n\n", "Two.\n\n", "Three.\n\n", "Four."])
    page: Page = {}
    socket = await connect(ann)
    started = await ask(socket)
    await release()
    await release()
    version = await hear_text(socket, page, "Two")
    await socket.disconnect()
    await release()
    socket = await connect(ann)
    await attach(socket, started, version)
    missed = await socket.hear()
    assert all("One" not in html for _, html in missed["blocks"])
    show(page, [missed])
    await release()
    await release()
    show(page, await socket.hear_until("ended"))
    assert text_of(page) == "<p>One.</p>\n<p>Two.</p>\n<p>Three.</p>\n<p>Four.</p>\n"


@pytest.mark.parametrize("cuts", [range(0, 40, 2), range(1, 40, 5), (3, 4, 39)])
async def test_a_socket_that_is_lost_again_and_again_loses_nothing(
    connect: Connect, engine: FakeEngine, ann: User, model: ModelRecord, cuts: Any
) -> None:
    words = [f"{number} **w{number}**" + ("\n\n" if number % 7 == 0 else " ") for number in range(40)]

    async def script(request: Request) -> AsyncIterator[Event]:
        for word in words:
            yield Text(text=word)
            await asyncio.sleep(0.01)
        yield Done(reason="stop", usage=Usage(completion=len(words)))

    engine.script = script
    page: Page = {}
    socket = await connect(ann)
    started = await ask(socket)
    heard: list[dict[str, Any]] = []
    version = 0
    while not heard or heard[-1]["type"] != "ended":
        heard.append(await socket.hear())
        version = show(page, heard[-1:]) or version
        if len(heard) in cuts and heard[-1]["type"] == "update":
            await socket.disconnect()
            socket = await connect(ann)
            await socket.say(
                type="attach",
                conversation=started["conversation"],
                message=started["message"],
                version=version,
            )
    assert text_of(page) == "".join(render_blocks("".join(words)))


async def test_an_answer_that_has_ended_comes_from_the_database(
    connect: Connect, ann: User, model: ModelRecord
) -> None:
    socket = await connect(ann)
    started = await ask(socket)
    await socket.hear_until("ended")
    while TURNS.running():
        await asyncio.sleep(0.01)
    await attach(socket, started, 99)
    update, ended = await socket.hear_until("ended")
    assert (update["blocks"], update["count"]) == ([[0, "<p>Hello there</p>\n"]], 1)
    assert ended["status"] == "complete"


async def test_detached_means_silence(
    connect: Connect, engine: FakeEngine, ann: User, model: ModelRecord
) -> None:
    engine.script, release = gated(["one ", "two "])
    socket = await connect(ann)
    await ask(socket)
    await release()
    await hear_text(socket, {}, "one")
    await socket.say(type="detach")
    await socket.say(type="nonsense")
    while (heard := await socket.hear())["type"] == "update":
        pass
    assert heard["type"] == "error"
    await release()
    assert await socket.receive_nothing(0.2)


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("kind", ["send", "attach", "stop"])
async def test_what_is_somebody_else_s_is_not_found(
    connect: Connect, engine: FakeEngine, ann: User, bob: User, model: ModelRecord, kind: str, running: bool
) -> None:
    if running:
        engine.script, _ = gated(["one"])
    socket = await connect(ann)
    started = await ask(socket)
    if not running:
        await socket.hear_until("ended")
    messages = await Message.objects.acount()
    thief = await connect(bob)
    for conversation, message in (
        (started["conversation"], started["message"]),
        (str(uuid4()), str(uuid4())),
    ):
        await thief.say(
            type=kind, conversation=conversation, message=message, text="Hello", model="tester", version=0
        )
        assert (await thief.hear())["code"] == "not_found"
    assert await Message.objects.acount() == messages
    assert TURNS.running() == running


async def test_updates_are_few_however_fast_the_tokens_come(
    connect: Connect, engine: FakeEngine, ann: User, model: ModelRecord
) -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        for number in range(600):
            yield Text(text=f"{number} ")
            if number % 6 == 0:
                await asyncio.sleep(0.01)
        yield Done(reason="stop", usage=Usage(completion=600))

    engine.script = script
    socket = await connect(ann)
    started = asyncio.get_running_loop().time()
    await ask(socket)
    heard = await socket.hear_until("ended")
    seconds = asyncio.get_running_loop().time() - started
    assert len(heard) <= seconds * 20 + 5
    page: Page = {}
    show(page, heard)
    assert "599" in text_of(page)
