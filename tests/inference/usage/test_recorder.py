"""The thread that writes usage: nothing that it is given ends it."""

from __future__ import annotations

import pytest

from inference.protocol import Usage
from inference.usage.models import UsageRecord
from inference.usage.recorder import Recorder
from tests.inference.usage.conftest import measured

# More than any database takes for a whole number.
ABSURD = 2**63


@pytest.mark.django_db(transaction=True)
def test_a_row_that_cannot_be_written_keeps_no_other_from_it() -> None:
    recorder = Recorder()
    with recorder.running():
        recorder.put(measured(usage=Usage(prompt=ABSURD)))
        recorder.put(measured(model="org/sane"))
    assert UsageRecord.objects.get().model == "org/sane"
