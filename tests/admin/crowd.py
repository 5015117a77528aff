"""A home in which much has happened: 10,000 conversations, 200 aliases, a year of usage.

HUGWEB_HOME=… DJANGO_SETTINGS_MODULE=hugweb.settings python -m tests.admin.crowd
"""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import islice

import django

CONVERSATIONS, ALIASES, DAYS = 10_000, 200, 365


def fill() -> None:
    """Fill the database of this home."""
    from django.contrib.auth.models import User
    from django.utils import timezone

    from aliases.models import Alias
    from conversations.models import Conversation, Message
    from inference.keys.services import key_create
    from inference.models import ModelRecord
    from inference.usage.models import UsageDay, UsageRecord

    luck = random.Random(7)
    now = timezone.now()
    User.objects.create_superuser("owner")
    users = [User.objects.create_user(f"user{number}") for number in range(20)]
    keys = [key_create(user=user, name="laptop")[0] for user in users]
    records = [
        ModelRecord.objects.create(
            name=f"org/Model-{number}B",
            source="hub",
            folder=f"m{number}",
            architecture=("llama", "qwen3", "mistral")[number % 3],
            digest="0",
            capabilities=["completion"],
            size=10**9 * number,
            parameters=10**9 * number,
        )
        for number in range(1, 31)
    ]
    Alias.objects.bulk_create(
        Alias(name=f"alias-{number}", model=luck.choice(records).name, description="An alias of many.")
        for number in range(ALIASES)
    )
    conversations = Conversation.objects.bulk_create(
        Conversation(
            user=luck.choice(users),
            title=f"Conversation {number}",
            model="alias-1",
            model_provider="huggingface",
            updated=now - timedelta(minutes=number),
        )
        for number in range(CONVERSATIONS)
    )
    Message.objects.bulk_create(
        [
            Message(conversation=conversation, role=role, content=f"{role} says something")
            for conversation in conversations
            for role in ("user", "assistant")
        ],
        batch_size=2000,
    )
    days = (
        UsageDay(
            day=(now - timedelta(days=back)).date(),
            provider="huggingface",
            model=records[number % 5].name,
            alias=f"alias-{number % 7}",
            user=users[number],
            key=keys[number],
            source=("page", "ollama", "openai")[number % 3],
            requests=(requests := luck.randint(1, 60)),
            failed=luck.randint(0, 2),
            prompt_tokens=requests * 200,
            completion_tokens=requests * luck.randint(50, 300),
            duration_ns=requests * 3 * 10**9,
            first_tokens=requests,
            first_token_ns=requests * luck.randint(10**8, 10**9),
        )
        for back in range(DAYS)
        for number in range(20)
    )
    UsageDay.objects.bulk_create(days, batch_size=2000)
    rows = (
        UsageRecord(
            created=now - timedelta(minutes=13 * number),
            provider="huggingface",
            model=luck.choice(records).name,
            user=luck.choice(users),
            key=luck.choice(keys),
            source="page",
            kind="generate",
            outcome="done",
            completion_tokens=100,
            duration_ns=10**9,
        )
        for number in range(40_000)
    )
    while batch := list(islice(rows, 2000)):
        UsageRecord.objects.bulk_create(batch)


if __name__ == "__main__":
    django.setup()
    fill()
