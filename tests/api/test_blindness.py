"""Pictures for a model that reads text only: refused, or left out and said so, whichever dialect asks."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import AsyncClient

from aliases.answering import NOT_SEEN
from conversations.models import Attachment, Message
from conversations.selectors import model_choices
from conversations.turns import TURNS
from inference.errors import Unsupported
from inference.models import ModelRecord
from inference.protocol import Generate
from tests.fakes import FakeEngine
from tests.shapes import saved
from tests.tiny_vision import noise

pytestmark = pytest.mark.django_db(transaction=True)
PICTURE = base64.b64encode(saved(noise(32, 32, 0))).decode()
URL = f"data:image/png;base64,{PICTURE}"


def bodies(text: str) -> dict[str, dict[str, Any]]:
    """A question with a picture, in each dialect."""
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
    return {
        "/api/chat": {
            "messages": [{"role": "user", "content": text, "images": [PICTURE]}],
            "stream": False,
        },
        "/api/generate": {"prompt": text, "images": [PICTURE], "stream": False},
        "/v1/chat/completions": {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": text},
                        {"type": "image_url", "image_url": {"url": URL}},
                    ],
                }
            ]
        },
        "/v1/responses": {
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": text},
                        {"type": "input_image", "image_url": URL},
                    ],
                }
            ]
        },
        "/v1/messages": {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": text}, {"type": "image", "source": source}],
                }
            ],
            "max_tokens": 9,
        },
    }


@pytest.fixture(autouse=True)
def record(transactional_db: None) -> ModelRecord:
    return ModelRecord.objects.create(
        name="org/blind",
        source="hub",
        folder="m",
        architecture="llama",
        digest="0",
        capabilities=["completion"],
    )


async def post(path: str, text: str) -> Any:
    body = {"model": "org/blind", **bodies(text)[path]}
    return await AsyncClient().post(path, body, content_type="application/json")


@pytest.mark.parametrize("path", bodies(""))
async def test_pictures_are_refused_before_anything_is_loaded(engine: FakeEngine, path: str) -> None:
    answer = await post(path, "What is this?")
    assert answer.status_code == 400
    assert b"does not support images" in answer.content
    assert engine.requests == []


@pytest.mark.parametrize("path", bodies(""))
async def test_where_the_setting_says_so_the_text_is_answered_and_that_is_said(
    engine: FakeEngine, settings: Any, path: str
) -> None:
    settings.VISION_FALLBACK = True
    answer = await post(path, "What is this?")
    assert answer.status_code == 200, answer.content
    assert answer["X-HugWeb-Note"] == NOT_SEEN
    (asked,) = engine.requests
    assert isinstance(asked, Generate)
    assert [(message.content, message.images) for message in asked.messages] == [("What is this?", ())]


async def test_a_picture_without_a_word_is_refused_in_any_case(engine: FakeEngine, settings: Any) -> None:
    settings.VISION_FALLBACK = True
    for path in ("/api/chat", "/v1/chat/completions"):
        answer = await post(path, "")
        assert answer.status_code == 400, answer.content
    assert engine.requests == []


async def test_an_answer_to_all_of_a_request_says_nothing_else(engine: FakeEngine, settings: Any) -> None:
    settings.VISION_FALLBACK = True
    body = {"model": "org/blind", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
    answer = await AsyncClient().post("/api/chat", body, content_type="application/json")
    assert answer.status_code == 200
    assert "X-HugWeb-Note" not in answer


async def test_the_page_takes_the_picture_and_says_it_by_the_answer(
    engine: FakeEngine, settings: Any
) -> None:
    ann = await sync_to_async(User.objects.create_user)("ann")
    picture = await Attachment.objects.acreate(
        owner=ann, sha256="0" * 64, size=1, type="image/png", width=1, height=1
    )
    asked: dict[str, Any] = {
        "user": ann,
        "conversation": None,
        "model": "org/blind",
        "attachments": [picture.pk],
    }
    choices = await sync_to_async(model_choices)(user=ann)
    assert not choices.seeing
    with pytest.raises(Unsupported):
        await TURNS.start(text="What is this?", **asked)
    settings.VISION_FALLBACK = True
    choices = await sync_to_async(model_choices)(user=ann)
    assert choices.seeing == {"org/blind"}
    with pytest.raises(Unsupported):
        await TURNS.start(text="", **asked)
    turn = await TURNS.start(text="What is this?", **asked)
    async with asyncio.timeout(30):
        await turn.task
    stored = await Message.objects.aget(pk=turn.message.pk)
    assert (stored.status, stored.note) == ("complete", NOT_SEEN)
    client = AsyncClient()
    await client.aforce_login(ann)
    page = await client.get(f"/chat/{turn.opened.conversation.pk}/")
    assert NOT_SEEN in page.content.decode()
