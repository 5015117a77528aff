"""Sums of days, and how they are shown and exported."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from inference.asker import Asker
from inference.keys.services import key_create
from inference.protocol import Usage
from inference.usage.charts import HEIGHT, WIDTH, bar_chart
from inference.usage.models import UsageDay, UsageRecord
from inference.usage.selectors import usage_by, usage_by_day, usage_days, usage_total
from inference.usage.services import usage_write
from tests.inference.usage.conftest import measured


@pytest.mark.usefixtures("one_day")
def test_days_hold_the_sums_of_their_rows_by_who_and_what(ann: User) -> None:
    key, _ = key_create(user=ann, name="laptop")
    mine = Asker(source="openai", user=ann.pk, key=key.pk)
    usage_write([measured(mine), measured(mine, outcome="failed", first_token_ns=None), measured()])
    usage_write([measured(mine, usage=Usage(prompt=1, completion=2)), measured(mine, back=1)])
    assert UsageRecord.objects.count() == 5
    assert UsageDay.objects.count() == 3
    today = UsageDay.objects.get(user=ann, day=timezone.now().date())
    assert (today.requests, today.failed, today.key) == (3, 1, key)
    assert (today.prompt_tokens, today.cached_tokens, today.completion_tokens) == (21, 8, 12)
    assert (today.first_tokens, today.first_token_ns) == (2, 4_000_000_000)


def test_a_key_or_user_that_goes_leaves_the_sums(ann: User) -> None:
    key, _ = key_create(user=ann, name="laptop")
    usage_write([measured(Asker(source="openai", user=ann.pk, key=key.pk))])
    ann.delete()
    assert usage_total(usage_days(days=7)).requests == 1


def test_sums_can_be_taken_by_anything(ann: User) -> None:
    usage_write([measured(model="a/b"), measured(model="a/b"), measured(Asker("page", ann.pk), model="c/d")])
    rows = usage_days(days=7)
    assert [(sums.name, sums.requests) for sums in usage_by(rows, "model")] == [("a/b", 2), ("c/d", 1)]
    assert {sums.name for sums in usage_by(rows, "user__username")} == {None, "ann"}
    assert usage_total(usage_days(days=7, user=ann)).tokens == 15
    assert usage_total(rows).first_token_seconds == 2.0


def test_keys_of_one_name_are_told_apart(client: Client, ann: User) -> None:
    bob = User.objects.create_superuser("bob")
    keys = [key_create(user=user, name="laptop")[0] for user in (ann, bob)]
    for key, requests in zip(keys, (2, 1), strict=True):
        usage_write([measured(Asker("openai", key.user_id, key.pk))] * requests)
    usage_write([measured()])
    shown = {str(key): requests for key, requests in zip(keys, (2, 1), strict=True)}
    assert {sums.name: sums.requests for sums in usage_by(usage_days(days=7), "key")} == {**shown, None: 1}
    client.force_login(bob)
    assert all(name in client.get("/admin/").content.decode() for name in shown)
    rows = list(csv.DictReader(io.StringIO(client.get("/admin/usage.csv").content.decode())))
    assert {(row["key"], row["key_prefix"]) for row in rows} == {
        *(("laptop", key.prefix) for key in keys),
        ("", ""),
    }


@pytest.mark.usefixtures("one_day")
def test_every_day_is_there_and_none_from_before(db: None) -> None:
    usage_write([measured(), measured(back=6), measured(back=7)])
    days = usage_by_day(usage_days(days=7), days=7)
    assert [sums.requests for sums in days] == [1, 0, 0, 0, 0, 0, 1]
    assert days[0].name == timezone.now().date() - timedelta(days=6)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=400))
def test_bars_stay_inside_the_drawing_and_in_order(values: list[int]) -> None:
    day = timezone.now().date()
    chart = bar_chart("t", "u", [(day, value) for value in values])
    assert len(chart.bars) == sum(value > 0 for value in values)
    assert all(bar.x >= 0 and bar.x + bar.width <= WIDTH + 0.1 for bar in chart.bars)
    assert all(bar.y >= 0 and bar.y + bar.height == pytest.approx(HEIGHT, abs=0.02) for bar in chart.bars)
    assert [bar.x for bar in chart.bars] == sorted(bar.x for bar in chart.bars)


def test_my_usage_is_mine_alone(client: Client, ann: User) -> None:
    bob = User.objects.create_user("bob")
    usage_write([measured(Asker("page", ann.pk), model="ann/secret"), measured(Asker("page", bob.pk))])
    client.force_login(bob)
    for path in ("/usage/", "/usage/usage.csv"):
        text = client.get(path).content.decode()
        assert "org/model" in text
        assert "ann/secret" not in text


@pytest.mark.parametrize("path", ["/usage/", "/usage/usage.csv"])
def test_usage_needs_a_log_in_and_cannot_be_posted_to(client: Client, ann: User, path: str) -> None:
    assert client.get(path).status_code == 302
    client.force_login(ann)
    assert client.get(path, {"days": "nonsense"}).status_code == 200
    assert client.post(path).status_code == 405


def test_the_page_asks_as_often_for_a_year_of_usage_as_for_none(
    client: Client, ann: User, django_assert_max_num_queries: Any
) -> None:
    who = Asker("page", ann.pk)
    usage_write([measured(who, back=back, model=f"org/m{n}") for back in range(365) for n in range(5)])
    client.force_login(ann)
    with django_assert_max_num_queries(9):
        page = client.get("/usage/?days=365").content.decode()
    assert page.count("<rect") == 2 * 365
    assert "style=" not in page


def test_the_file_has_what_the_sums_have_and_no_formulas(client: Client, db: None) -> None:
    eve = User.objects.create_user("=cmd()")
    usage_write([measured(Asker("page", eve.pk)), measured(Asker("page", eve.pk), back=1)])
    client.force_login(eve)
    answer = client.get("/usage/usage.csv")
    assert "attachment" in answer["Content-Disposition"]
    lines = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [line["user"] for line in lines] == ["'=cmd()"] * 2
    assert sum(int(line["completion_tokens"]) for line in lines) == 10
    assert lines[0]["day"] < lines[1]["day"]
