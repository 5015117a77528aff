"""Two people and whoever manages the server, on one server, each with a key; and one with a log-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.api.stage import Stage, open_stage

NOTE = "The pictures were left out."
PEOPLE = f"""
import django, json; django.setup()
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from conversations.models import Conversation, Message
from inference.keys.services import key_create
from inference.usage.services import usage_write
from tests.inference.usage.conftest import measured
from inference.asker import Asker
people = {{
    "boss": User.objects.create_superuser("boss"),
    "ann": User.objects.create_user("ann"),
    "bob": User.objects.create_user("bob"),
}}
told = {{}}
for name, user in people.items():
    scopes = ["generate", "read", "manage"] if user.is_staff else ["generate", "read"]
    told[name] = key_create(user=user, name="first", scopes=scopes)[1]
    talk = Conversation.objects.create(
        user=user, title=f"of {{name}}", model="test/model", model_provider="huggingface"
    )
    first = Message.objects.create(conversation=talk, role="user", content=f"{{name}} asks")
    answer = Message.objects.create(conversation=talk, parent=first, role="assistant", content="yes")
    answer.note = "{NOTE}"
    answer.save()
    talk.active_leaf = answer
    talk.save()
    told[name + " talk"] = str(talk.pk)
for name, known_as in (("ann", "cookie"), ("boss", "boss cookie")):
    client = Client()
    client.force_login(people[name])
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    told[known_as] = f"{{settings.SESSION_COOKIE_NAME}}={{session}}"
usage_write([measured(who=Asker(source="rest", user=people[name].pk)) for name in ("ann", "ann", "bob")])
print(json.dumps(told))
"""


@dataclass(frozen=True)
class People:
    """The server, and what each of ``boss``, ``ann`` and ``bob`` has: a key, a conversation."""

    stage: Stage
    known: dict[str, str]

    def ask(self, who: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of the answer; ``cookie`` asks as ann by her log-in, ``""`` as nobody."""
        headers = {"Content-Type": "application/json"}
        if who == "cookie":
            headers |= {"Cookie": self.known["cookie"]}
        elif who:
            headers |= {"Authorization": f"Bearer {self.known[who]}"}
        status, _, text = self.stage.request(method, path, body, headers)
        return status, json.loads(text) if text else None


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_stage(tmp_path_factory.mktemp("api"), PEOPLE) as stage:
        yield stage


@pytest.fixture
def people(stage: Stage) -> People:
    return People(stage, json.loads(stage.told))
