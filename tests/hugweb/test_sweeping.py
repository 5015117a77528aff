"""What nobody needs any more goes once a day, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from hugweb.sweeping import sweep
from inference.usage import services
from inference.usage.models import UsageDay, UsageRecord
from inference.usage.services import usage_write
from tests.inference.usage.conftest import measured

pytestmark = pytest.mark.django_db(transaction=True)


def test_old_requests_and_expired_sessions_go(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "SWEPT_AT_ONCE", 2)
    now = timezone.now()
    usage_write([measured() for _ in range(6)])
    old = UsageRecord.objects.values_list("pk", flat=True)[:5]
    UsageRecord.objects.filter(pk__in=list(old)).update(created=now - timedelta(days=settings.USAGE_DAYS + 1))
    for name, days in (("past", -1), ("valid", 1)):
        Session.objects.create(session_key=name, session_data="", expire_date=now + timedelta(days=days))
    sweep()
    assert UsageRecord.objects.count() == 1
    assert sum(UsageDay.objects.values_list("requests", flat=True)) == 6
    assert [session.session_key for session in Session.objects.all()] == ["valid"]


def test_requests_are_kept_for_ever_where_that_is_asked_for(settings: Any) -> None:
    settings.USAGE_DAYS = 0
    usage_write([measured()])
    UsageRecord.objects.update(created=timezone.now() - timedelta(days=5000))
    sweep()
    assert UsageRecord.objects.count() == 1
