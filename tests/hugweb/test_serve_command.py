"""The steps of ``manage.py serve`` that need no process."""

from io import StringIO

import pytest

from hugweb.management.commands import serve
from inference.errors import InferenceError
from inference.models import ModelRecord
from inference.store.architectures import TEXT
from inference.store.pull import PullOrder
from inference.store.services import Taken


@pytest.fixture
def command(monkeypatch):
    return serve.Command(stdout=StringIO(), stderr=StringIO())


def order(work):
    return lambda source: PullOrder(source, work)


def test_a_starter_that_is_there_is_not_got(command, monkeypatch):
    monkeypatch.setattr(serve, "starter_missing", lambda: False)
    monkeypatch.setattr(serve, "pull_order", lambda source: pytest.fail("pulled"))
    command._get_starter()


def test_what_the_pull_tells_is_printed(command, monkeypatch):
    def work(watch):
        watch.step("fetching", "half of it")
        return Taken(ModelRecord(name="a/b"), TEXT, ())

    monkeypatch.setattr(serve, "starter_missing", lambda: True)
    monkeypatch.setattr(serve, "pull_order", order(work))
    command._get_starter()
    assert command.stdout.getvalue() == "half of it\n"


def test_without_a_starter_the_server_starts_all_the_same(command, monkeypatch):
    def fail(watch):
        raise InferenceError("The Hub gives no answer.")

    monkeypatch.setattr(serve, "starter_missing", lambda: True)
    monkeypatch.setattr(serve, "pull_order", order(fail))
    command._get_starter()
    assert "There is no starter model: The Hub gives no answer." in command.stderr.getvalue()


@pytest.mark.django_db
def test_models_whose_files_are_gone_are_told(command):
    ModelRecord.objects.create(name="org/gone", source="store", folder="org/gone", digest="0")
    command._look_at_the_disk()
    assert "The files of org/gone are missing. Pull it again" in command.stderr.getvalue()
    assert ModelRecord.objects.filter(name="org/gone").exists()
