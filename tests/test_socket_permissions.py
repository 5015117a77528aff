"""Who may do what over the chat's websocket: every action there is, for everybody who could try it.

The actions come from the wire itself, so one that is added fails here until it is said who may.
"""

from __future__ import annotations

import asyncio
from typing import Any, get_args

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from msgspec.inspect import StructType, type_info

from conversations import wire
from conversations.models import Message
from conversations.turns import TURNS
from hugweb.routing import websockets
from inference.keys.models import Scope
from inference.keys.services import key_create
from inference.models import ModelRecord
from tests.conversations.conftest import (
    PATIENCE,
    Connect,
    Socket,
    ann,
    bob,
    connect,
    model,
    session_of,
)
from tests.fakes import FakeEngine, gated

__all__ = ["ann", "bob", "connect", "model", "session_of"]
pytestmark = pytest.mark.django_db(transaction=True)

LOGGED_OUT, NOT_FOUND, DONE = "logged out", "not found", "done"
# What each says about the conversation and the answer that are ann's.
SAID: dict[str, dict[str, Any]] = {
    "send": {"text": "And then?", "model": "tester"},
    "attach": {"version": 0},
    "detach": {},
    "stop": {},
}
# What comes of it for whom; who manages the server is another one as well.
MATRIX: dict[str, dict[str, str]] = {
    "send": {"owner": DONE, "other": NOT_FOUND, "manager": NOT_FOUND},
    "attach": {"owner": DONE, "other": NOT_FOUND, "manager": NOT_FOUND},
    # Says no more of what this socket follows, which is nothing of anybody else's.
    "detach": {"owner": DONE, "other": DONE, "manager": DONE},
    "stop": {"owner": DONE, "other": NOT_FOUND, "manager": NOT_FOUND},
}
NOBODY = ("anonymous", "deactivated", *(f"key {scope}" for scope in Scope.values))


def actions() -> set[str]:
    """The types of everything that a page may say."""
    kinds = [type_info(kind) for kind in get_args(wire.Asked)]
    return {str(kind.tag) for kind in kinds if isinstance(kind, StructType)}


@pytest.fixture
def boss(db: None) -> User:
    return User.objects.create_superuser("boss")


@pytest.fixture
def sessions(session_of: Any, ann: User, bob: User, boss: User) -> dict[int, str]:
    return {user.pk: session_of(user) for user in (ann, bob, boss)}


def test_every_action_has_its_row() -> None:
    assert actions() == set(MATRIX) == set(SAID)


async def begun(connect: Connect, owner: User) -> dict[str, Any]:
    """An answer that is being written for ``owner``."""
    socket = await connect(owner)
    await socket.say(type="send", text="Hello", model="tester")
    return await socket.hear()


@pytest.mark.parametrize("action", sorted(MATRIX))
@pytest.mark.parametrize("who", ["owner", "other", "manager"])
async def test_who_is_logged_in_reaches_what_is_theirs(
    connect: Connect,
    engine: FakeEngine,
    model: ModelRecord,
    ann: User,
    bob: User,
    boss: User,
    action: str,
    who: str,
) -> None:
    engine.script, release = gated(["one"])
    started = await begun(connect, ann)
    await release()
    socket = await connect({"owner": ann, "other": bob, "manager": boss}[who])
    if (action, who) == ("send", "owner"):
        # A conversation takes one question at a time.
        await TURNS.close()
        TURNS.draining = False
    named = {"conversation": started["conversation"], "message": started["message"]}
    await socket.say(type=action, **SAID[action], **named)
    if MATRIX[action][who] == NOT_FOUND:
        heard = await socket.hear()
        assert (heard["type"], heard["code"]) == ("error", "not_found")
        assert TURNS.running() == 1
        assert await Message.objects.acount() == 2
    elif action in {"send", "attach"}:
        assert (await socket.hear())["type"] == {"send": "started", "attach": "update"}[action]
    elif action == "stop":
        async with asyncio.timeout(PATIENCE):
            while TURNS.running():
                await asyncio.sleep(0.01)
        assert await socket.receive_nothing()
    else:
        assert await socket.receive_nothing()
        assert TURNS.running() == 1


@pytest.mark.parametrize("action", sorted(MATRIX))
@pytest.mark.parametrize("who", NOBODY)
async def test_who_is_not_logged_in_is_heard_by_nobody(
    connect: Connect, engine: FakeEngine, model: ModelRecord, ann: User, boss: User, action: str, who: str
) -> None:
    """A key is for the API: it opens no socket."""
    engine.script, release = gated(["one"])
    started = await begun(connect, ann)
    await release()
    if who.startswith("key"):
        _, token = await sync_to_async(key_create)(user=boss, name="k", scopes=[who.split()[1]])
        socket = Socket(websockets, "/ws/chat/", headers=[(b"authorization", f"Bearer {token}".encode())])
        assert (await socket.connect(PATIENCE))[0]
    elif who == "deactivated":
        socket = await connect(boss)
        await User.objects.filter(pk=boss.pk).aupdate(is_active=False)
    else:
        socket = await connect(None)
    named = {"conversation": started["conversation"], "message": started["message"]}
    await socket.say(type=action, **SAID[action], **named)
    assert await socket.closing_code() == 4401
    assert TURNS.running() == 1
    assert await Message.objects.acount() == 2
