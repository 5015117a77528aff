"""Keeping the configuration, bringing it back, checking files and following one."""

from __future__ import annotations

import json
import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command

from aliases.backups import MOST, backup_list, backup_make, backup_restore, configuration_check
from aliases.exchange import aliases_export, aliases_import
from aliases.models import Alias
from aliases.watch import AliasFile
from inference.errors import InvalidRequest, NotFound
from tests.fakes import FakeEngine
from tests.serving import MODEL, Server, eventually, run_python

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def home(tmp_path: Path, settings: Any) -> Path:
    settings.HOME = tmp_path
    return tmp_path


def names() -> set[str]:
    return set(Alias.objects.values_list("name", flat=True))


def test_a_backup_brings_everything_back_and_can_be_undone() -> None:
    ann, team = User.objects.create_user("ann"), Group.objects.create(name="team")
    kept = Alias.objects.create(name="kept", model="a/b", system="s", visibility="some")
    kept.users.add(ann)
    kept.groups.add(team)
    backup = backup_make()
    Alias.objects.update(system="changed")
    Alias.objects.create(name="later", model="a/b")
    backup_restore(backup.name)
    restored = Alias.objects.get()
    assert (restored.system, restored.visibility) == ("s", "some")
    assert [*restored.users.all(), *restored.groups.all()] == [ann, team]
    backup_restore(backup_list()[0].name)
    assert names() == {"kept", "later"}


def test_whoever_has_gone_is_named_and_nobody_else_gets_in() -> None:
    ann = User.objects.create_user("ann")
    Alias.objects.create(name="private", model="a/b", visibility="some").users.add(ann)
    text = aliases_export(Alias.objects.all())
    ann.delete()
    assert aliases_import(text).left_out == ("private: ann",)
    assert not Alias.objects.get().users.exists()


def test_only_backups_are_restored_and_the_oldest_give_way(home: Path) -> None:
    (home / "secret_key").write_text("{}")
    for name in ("../secret_key", "nothing.json", "aliases-20260101-000000-000000.json"):
        with pytest.raises(NotFound):
            backup_restore(name)
    for _ in range(MOST + 3):
        backup_make()
    assert len(backup_list()) == MOST


def test_a_broken_backup_changes_nothing(home: Path) -> None:
    Alias.objects.create(name="kept", model="a/b")
    backup = backup_make()
    (home / "backups" / backup.name).write_text('{"aliases": {"x": {}}}')
    with pytest.raises(InvalidRequest):
        backup_restore(backup.name)
    assert names() == {"kept"}


def test_checking_a_file_changes_nothing(home: Path) -> None:
    (home / "good.json").write_text(json.dumps({"a": {"model": "x/y", "beams": 2}}))
    imported = configuration_check(home / "good.json")
    assert (imported.names, imported.left_out) == (("a",), ("a: beams",))
    assert names() == set()
    with pytest.raises(InvalidRequest):
        configuration_check(home / "gone.json")


def test_a_file_that_is_followed_is_taken_when_it_changes_and_stays_when_it_breaks(home: Path) -> None:
    path = home / "aliases.json"
    file = AliasFile(path)
    assert not file.check()
    path.write_text('{"a": {"model": "x/y"}}')
    assert file.check()
    assert not file.check()
    path.write_text('{"a": {"model": "x/y", "system": "broken"')
    assert not file.check()
    assert Alias.objects.get().system == ""
    path.write_text('{"a": {"model": "x/y", "system": "mended"}}')
    assert file.check()
    assert Alias.objects.get().system == "mended"


def test_the_commands_say_what_they_do(home: Path) -> None:
    def run(*arguments: str) -> str:
        out = StringIO()
        call_command("config", *arguments, stdout=out, stderr=StringIO())
        return out.getvalue()

    Alias.objects.create(name="kept", model="a/b")
    name = run("backup").strip()
    assert [entry["name"] for entry in json.loads(run("list", "--json"))] == [name]
    assert name in run("list")
    Alias.objects.all().delete()
    assert "Restored 1" in run("restore", name)
    (home / "f.json").write_text(json.dumps({"b": {"model": "x/y"}}))
    assert "Would take 1" in run("validate", str(home / "f.json"))
    with pytest.raises(CommandError, match="no backup"):
        run("restore", "x")


async def test_a_server_follows_the_file_that_its_settings_name(tmp_path: Path) -> None:
    path = tmp_path / "followed.json"
    home = tmp_path / "home"
    count = "import django; django.setup()\nfrom aliases.models import Alias\nprint(Alias.objects.count())"
    env = {"HUGWEB_ALIASES_FILE": str(path)}
    async with FakeEngine(tmp_path / "e.sock") as engine, Server(home, engine=engine, env=env) as server:
        path.write_text(json.dumps({"one": {"model": MODEL}, "two": {"model": MODEL}}))
        os.utime(path)
        eventually(lambda: "Took 2 aliases" in server.output(), server.output)
    assert run_python(count, home).strip() == "2"
