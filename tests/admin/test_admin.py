"""The admin's pages: what they show, to whom, and with how many queries."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext

from aliases.models import Alias
from conversations.models import Conversation, Message
from inference.asker import Asker
from inference.keys.models import ApiKey
from inference.keys.selectors import key_authenticate
from inference.models import ModelRecord, ProviderConfig
from inference.protocol import Event, Failed, LoadedModel, Request
from inference.providers.registry import get_provider
from inference.usage.models import UsageRecord
from inference.usage.recorder import RECORDER
from inference.usage.services import usage_write
from tests.fakes import echo
from tests.inference.usage.conftest import measured
from tests.serving import engine_thread, manage

LISTS = (
    "aliases/alias",
    "inference/modelrecord",
    "inference/providerconfig",
    "keys/apikey",
    "usage/usageday",
    "usage/usagerecord",
    "conversations/conversation",
    "conversations/message",
    "auth/user",
    "auth/group",
)
FORM = {
    "name": "small",
    "model": "org/model",
    "messages": "[]",
    "enabled": "on",
    "quantization": "int8",
    "visibility": "everyone",
    "stop": "one\r\n two",
    "fallback_names": "spare\r\norg/model",
    "option_temperature": "0.7",
    "option_num_ctx": "2048",
    "keep_alive": "5m",
    "dtype": "bfloat16",
    "device": "cpu",
    "template": "{{ messages }}",
}


@pytest.fixture
def record(db: None) -> ModelRecord:
    return ModelRecord.objects.create(
        name="org/model", source="hub", folder="m", architecture="llama", digest="0", size=10**9
    )


@pytest.fixture
def engine(tmp_path: Path, settings: Any) -> Any:
    settings.ENGINE_ADDRESS = f"unix:{tmp_path}/e.sock"
    get_provider.cache_clear()
    with engine_thread(tmp_path / "e.sock") as running:
        yield running
    get_provider.cache_clear()


def many(count: int) -> None:
    """So many of everything."""
    for number in range(count):
        user = User.objects.create_user(f"u{count}-{number}")
        key = ApiKey.objects.create(user=user, name="k", prefix=f"{count}-{number}", scopes=["read"])
        Alias.objects.create(name=f"a{count}-{number}", model="org/model")
        ModelRecord.objects.create(
            name=f"o/m{count}-{number}", source="hub", folder="m", architecture="x", digest="0"
        )
        talk = Conversation.objects.create(user=user, title="A secret title", model="m", model_provider="p")
        Message.objects.create(conversation=talk, role="user", content="a secret text")
        usage_write([measured(Asker("page", user.pk, key.pk), model=f"m{number}")])


@pytest.mark.parametrize("path", ["", *LISTS, "inference/modelrecord/pull", "live"])
def test_no_page_asks_the_database_by_the_row(
    client: Client, boss: User, engine: Any, path: str, django_assert_num_queries: Any
) -> None:
    many(2)
    address = f"/admin/{path}/" if path else "/admin/"
    client.get(address)
    with CaptureQueriesContext(connection) as few:
        client.get(address)
    many(20)
    with django_assert_num_queries(len(few)):
        assert client.get(address).status_code == 200


def test_the_form_of_an_alias_stores_what_it_shows(client: Client, boss: User, record: ModelRecord) -> None:
    answer = client.post("/admin/aliases/alias/add/", FORM)
    assert answer.status_code == 302, answer.context["errors"]
    alias = Alias.objects.get()
    assert alias.options == {"temperature": 0.7, "num_ctx": 2048, "stop": ["one", " two"]}
    assert (alias.fallbacks, alias.quantization) == (["spare", "org/model"], "int8")
    assert (alias.dtype, alias.device, alias.template) == ("bfloat16", "cpu", "{{ messages }}")
    page = client.get(f"/admin/aliases/alias/{alias.pk}/change/").content.decode()
    assert 'name="option_temperature" value="0.7"' in page
    assert "one\n two</textarea>" in page
    assert "{{ messages }}</textarea>" in page
    Alias.objects.update(options={**alias.options, "logit_bias": {"1": 5.0}})
    client.post(f"/admin/aliases/alias/{alias.pk}/change/", {**FORM, "option_temperature": "", "stop": ""})
    alias.refresh_from_db()
    assert alias.options == {"num_ctx": 2048, "logit_bias": {"1": 5.0}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"option_temperature": "101"},
        {"option_temperature": "nan"},
        {"option_top_k": "1.5"},
        {"option_num_ctx": "1"},
        {"stop": "x" * 257},
        {"stop": "\n".join("abcdefghijklmnopqrstuvwxyz")},
        {"fallback_names": "not a name"},
        {"name": "a b"},
        {"model": "org/elsewhere"},
        {"keep_alive": "soon"},
        {"device": "cuda:first"},
        {"dtype": "int8"},
        {"template": "{{ .Prompt }}"},
        {"messages": '[{"role": "nobody"}]'},
    ],
)
def test_the_form_refuses_what_the_sampler_would(
    client: Client, boss: User, record: ModelRecord, wrong: dict[str, str]
) -> None:
    answer = client.post("/admin/aliases/alias/add/", {**FORM, **wrong})
    assert answer.status_code == 200
    assert not Alias.objects.exists()


def test_an_alias_is_duplicated_exported_and_imported(
    client: Client, boss: User, record: ModelRecord
) -> None:
    client.post("/admin/aliases/alias/add/", FORM)
    alias = Alias.objects.get()
    copy = client.get(f"/admin/aliases/alias/add/?from={alias.pk}").content.decode()
    assert 'value="small-copy"' in copy
    assert 'name="option_temperature" value="0.7"' in copy
    assert "{{ messages }}</textarea>" in copy
    for none in ("", "x", "²", "9" * 30):
        assert client.get("/admin/aliases/alias/add/", {"from": none}).status_code == 200
    assert Alias.objects.count() == 1
    given = {"action": "export", "_selected_action": [alias.pk]}
    text = client.post("/admin/aliases/alias/", given).content
    alias.delete()
    file = SimpleUploadedFile("aliases.json", text)
    assert client.post("/admin/aliases/alias/import/", {"file": file}).status_code == 302
    made = Alias.objects.get()
    assert (made.options, made.template, made.device) == (alias.options, alias.template, alias.device)
    wrong = SimpleUploadedFile("aliases.json", b'{"x": {"model": 3}}')
    page = client.post("/admin/aliases/alias/import/", {"file": wrong})
    assert (page.status_code, Alias.objects.count()) == (200, 1)


@pytest.mark.django_db(transaction=True)
async def test_trying_an_alias_streams_its_answer_and_is_counted(engine: Any) -> None:
    boss = await User.objects.acreate(username="boss", is_superuser=True, is_staff=True)
    await ModelRecord.objects.acreate(
        name="org/model", source="hub", folder="m", architecture="llama", digest="0"
    )
    alias = await Alias.objects.acreate(name="small", model="org/model", system="Be brief.")
    engine.script = echo
    client = AsyncClient()
    await client.aforce_login(boss)
    with RECORDER.running():
        answer = await client.post(f"/admin/aliases/alias/{alias.pk}/try/", {"prompt": "one two"})
        text = b"".join([part async for part in answer.streaming_content])
    assert text == b"one two "
    assert engine.requests[-1].messages[0].content == "Be brief."
    row = await UsageRecord.objects.aget()
    assert (row.source, row.user_id, row.outcome) == ("admin", boss.pk, "done")


def test_models_are_loaded_and_let_go(client: Client, boss: User, record: ModelRecord, engine: Any) -> None:
    for action in ("load", "load_int4", "unload"):
        given = {"action": action, "_selected_action": [record.pk]}
        client.post("/admin/inference/modelrecord/", given)
    asked = [(type(request).__name__, request.model.quantization) for request in engine.requests]
    assert asked[:2] == [("Load", "none"), ("Load", "int4")]
    assert asked[2:] == [("Unload", way) for way in ("none", "int8", "int4")]
    engine.models = (
        LoadedModel(
            name="org/model", state="ready", device="cpu", size=1, context_length=1, expires_in=9, active=0
        ),
    )
    assert "loaded" in client.get("/admin/inference/modelrecord/").content.decode()
    assert "org/model" in client.get("/admin/live/").content.decode()


def test_a_key_is_shown_once_and_revoked(client: Client, boss: User) -> None:
    given = {"user": boss.pk, "name": "ci", "scopes": ["generate", "manage"], "allowed_models": "a\r\nb"}
    page = client.post("/admin/keys/apikey/add/", given, follow=True).content.decode()
    token = page.partition("only time that the key is shown: ")[2][:55].split("<")[0].strip()
    key = key_authenticate(token)
    assert (key.scopes, key.allowed_models) == (["generate", "manage"], ["a", "b"])
    for path in ("", f"{key.pk}/change/"):
        assert token not in client.get(f"/admin/keys/apikey/{path}").content.decode()
    client.post("/admin/keys/apikey/", {"action": "revoke", "_selected_action": [key.pk]})
    key.refresh_from_db()
    assert key.state == "revoked"
    given |= {"user": User.objects.create_user("ann").pk, "name": "other"}
    assert "staff status" in client.post("/admin/keys/apikey/add/", given).content.decode()


def test_a_manager_makes_keys_of_their_own_only(client: Client, boss: User, manager: User) -> None:
    """A key for another would open the other's conversations."""
    client.force_login(manager)
    for owner in (boss, User.objects.create_user("ann")):
        given = {"user": owner.pk, "name": "theirs", "scopes": ["read"], "allowed_models": ""}
        assert "Select a valid choice" in client.post("/admin/keys/apikey/add/", given).content.decode()
    assert "ann" not in client.get("/admin/keys/apikey/add/").content.decode()
    assert not ApiKey.objects.exists()
    client.post("/admin/keys/apikey/add/", given | {"user": manager.pk})
    assert ApiKey.objects.get().user == manager


def test_what_was_said_is_for_those_with_the_permission(client: Client, manager: User) -> None:
    many(1)
    talk = Conversation.objects.get()
    paths = ["/admin/conversations/conversation/", f"/admin/conversations/conversation/{talk.pk}/change/"]
    client.force_login(manager)
    for path in (*paths, "/admin/conversations/conversation/?q=secret"):
        assert "secret t" not in client.get(path).content.decode()
    assert str(talk.pk) not in client.get("/admin/conversations/conversation/?q=secret").content.decode()
    manager.user_permissions.add(Permission.objects.get(codename="read_content"))
    assert "secret title" in client.get(paths[0]).content.decode()
    assert "secret text" in client.get(paths[1]).content.decode()
    assert str(talk.pk) in client.get(f"{paths[0]}?q=secret+text").content.decode()


def test_the_two_groups_are_there_and_managers_may_manage(client: Client, manager: User) -> None:
    assert set(Group.objects.values_list("name", flat=True)) == {"users", "managers"}
    client.force_login(manager)
    allowed = {path: client.get(f"/admin/{path}/").status_code for path in LISTS}
    assert allowed["aliases/alias"] == allowed["usage/usageday"] == allowed["keys/apikey"] == 200
    assert allowed["conversations/message"] == 403


def test_usage_on_the_dashboard_needs_its_permission(client: Client, db: None) -> None:
    usage_write([measured(model="org/secret")])
    staff = User.objects.create_user("staff", is_staff=True)
    client.force_login(staff)
    assert "org/secret" not in client.get("/admin/").content.decode()
    assert client.get("/admin/usage.csv").status_code == 403
    staff.user_permissions.add(Permission.objects.get(codename="view_usageday"))
    assert "org/secret" in client.get("/admin/").content.decode()
    assert "org/secret" in client.get("/admin/usage.csv").content.decode()


def test_the_admin_may_evaluate_but_runs_no_inline_script(client: Client, boss: User) -> None:
    policy = client.get("/admin/")["Content-Security-Policy"]
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert scripts == "script-src 'self' 'unsafe-eval'"
    assert "unsafe" not in client.get("/chat/")["Content-Security-Policy"]


def test_the_checks_need_no_database(tmp_path: Path) -> None:
    """A first `migrate` or `createsuperuser` makes them before there are any tables."""
    process = manage("check", home=tmp_path)
    assert process.wait(60) == 0, process.stdout and process.stdout.read()


def test_the_export_can_be_read_by_the_command(client: Client, boss: User, record: ModelRecord) -> None:
    client.post("/admin/aliases/alias/add/", FORM)
    given = {"action": "export", "_selected_action": list(Alias.objects.values_list("pk", flat=True))}
    exported = json.loads(client.post("/admin/aliases/alias/", given).content)
    assert exported["aliases"]["small"]["model"] == "org/model"


@pytest.mark.parametrize("address", ["/chat/", "/chat/models/", "/models/", "/usage/"])
def test_no_page_beside_the_admin_asks_the_database_by_the_row(
    client: Client, boss: User, address: str, django_assert_num_queries: Any
) -> None:
    many(2)
    client.get(address)
    with CaptureQueriesContext(connection) as few:
        client.get(address)
    many(20)
    with django_assert_num_queries(len(few)):
        assert client.get(address).status_code == 200


def test_models_say_what_they_can_and_whether_they_fit(
    client: Client, boss: User, record: ModelRecord, engine: Any
) -> None:
    ModelRecord.objects.update(
        capabilities=["completion", "vision"], parameters=10**6, dtype="float32", memory=5 * 10**6
    )
    page = client.get("/admin/inference/modelrecord/").content.decode()
    assert "completion, vision" in page
    assert "4.8\xa0MB" in page
    assert re.search(r"field-fit[^>]*>\s*fits\s*<", page)
    ModelRecord.objects.update(parameters=10**13, memory=None)
    page = client.get("/admin/inference/modelrecord/").content.decode()
    assert "does not fit" in page


def test_one_model_is_loaded_as_the_form_says(
    client: Client, boss: User, record: ModelRecord, engine: Any
) -> None:
    address = f"/admin/inference/modelrecord/{record.pk}/memory/"
    answer = client.post(address, {"quantization": "int8"}, follow=True)
    assert "org/model is loaded in 8 bits" in answer.content.decode()
    client.post(address)
    ways = [(type(each).__name__, each.model.quantization) for each in engine.requests]
    assert ways[0] == ("Load", "int8")
    assert ("Unload", "int8") in ways
    ProviderConfig.objects.create(name="huggingface", enabled=False)
    answer = client.post(address, {"quantization": "none"}, follow=True)
    assert "is switched off" in answer.content.decode()


def test_deleting_a_model_says_what_it_frees_and_who_forbids_it(
    client: Client, boss: User, record: ModelRecord, engine: Any, settings: Any, tmp_path: Path
) -> None:
    settings.MODELS_PATH = tmp_path
    ModelRecord.objects.update(source="store", folder="m")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.safetensors").write_bytes(b"x")
    alias = Alias.objects.create(name="pal", model="org/model")
    address = f"/admin/inference/modelrecord/{record.pk}/delete/"
    assert "the alias pal" in client.get(address).content.decode()
    client.post(address, {"post": "yes"})
    assert ModelRecord.objects.exists()
    alias.delete()
    page = client.get(address).content.decode()
    assert "Frees: 953.7" in page.replace("\n", "").replace("frees", "Frees")
    client.post(address, {"post": "yes"})
    assert not ModelRecord.objects.exists()
    assert not (tmp_path / "m").exists()
    assert "Unload" in [type(each).__name__ for each in engine.requests]


def test_an_alias_that_another_names_is_deleted_with_it_only(
    client: Client, boss: User, record: ModelRecord
) -> None:
    inner = Alias.objects.create(name="inner", model="org/model")
    outer = Alias.objects.create(name="outer", model="inner")
    address = f"/admin/aliases/alias/{inner.pk}/delete/"
    assert "inner: the alias outer" in client.get(address).content.decode()
    client.post(address, {"post": "yes"})
    chosen = {"action": "delete_selected", "post": "yes", "_selected_action": [inner.pk]}
    client.post("/admin/aliases/alias/", chosen)
    assert Alias.objects.count() == 2
    client.post("/admin/aliases/alias/", chosen | {"_selected_action": [inner.pk, outer.pk]})
    assert not Alias.objects.exists()


def talk_of(user: User, length: int) -> list[Message]:
    """The messages of a new conversation, each an answer to the one before."""
    talk = Conversation.objects.create(user=user, title="long", model="a/b", model_provider="huggingface")
    said: list[Message] = []
    for _ in range(length):
        before = said[-1] if said else None
        said.append(Message(conversation=talk, parent=before, role="user", content="x"))
    Message.objects.bulk_create(said)
    Conversation.objects.filter(pk=talk.pk).update(active_leaf=said[-1])
    return said


@pytest.mark.parametrize("kind", ["conversations/conversation", "conversations/message", "auth/user"])
def test_a_conversation_is_deleted_however_long_it_is(client: Client, boss: User, kind: str) -> None:
    ann = User.objects.create_user("ann")
    first = talk_of(ann, 1200)[0]
    keys = {"conversation": first.conversation_id, "message": first.pk, "user": ann.pk}
    address = f"/admin/{kind}/{keys[kind.rpartition('/')[2]]}/delete/"
    assert "1200" in client.get(address).content.decode()
    assert client.post(address, {"post": "yes"}).status_code == 302
    assert not Message.objects.exists()


def test_a_page_of_messages_is_found_without_looking_at_all_of_them(client: Client, boss: User) -> None:
    talk_of(boss, 60)
    with CaptureQueriesContext(connection) as asked:
        assert client.get("/admin/conversations/message/").status_code == 200
    ordered = 'ORDER BY "conversations_message"."created"'
    (page,) = (query["sql"] for query in asked if ordered in query["sql"])
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {page}")
        assert "message_created" in str(cursor.fetchall())


def test_a_conversation_goes_on_from_before_what_was_deleted(client: Client, boss: User) -> None:
    said = talk_of(boss, 6)
    chosen = {"action": "delete_selected", "post": "yes", "_selected_action": [said[2].pk, said[4].pk]}
    client.post("/admin/conversations/message/", chosen)
    assert set(Message.objects.all()) == {*said[:2]}
    assert Conversation.objects.get().active_leaf == said[1]


def test_who_may_not_delete_what_goes_along_is_told(client: Client, boss: User) -> None:
    talk_of(boss, 2)
    helper = User.objects.create_user("helper", is_staff=True)
    may = Permission.objects.filter(codename__in=["view_conversation", "delete_conversation"])
    helper.user_permissions.set(may)
    client.force_login(helper)
    address = f"/admin/conversations/conversation/{Conversation.objects.get().pk}/delete/"
    assert "message" in client.get(address).content.decode()
    assert client.post(address, {"post": "yes"}).status_code == 403
    assert Message.objects.count() == 2


def test_a_provider_is_set_and_none_is_made_or_deleted(client: Client, boss: User, engine: Any) -> None:
    client.get("/admin/inference/providerconfig/")
    row = ProviderConfig.objects.get()
    address = f"/admin/inference/providerconfig/{row.pk}"
    assert client.post(f"{address}/change/", {"priority": "5"}).status_code == 302
    row.refresh_from_db()
    assert (row.name, row.enabled, row.priority) == ("huggingface", False, 5)
    assert client.post(f"{address}/change/", {"priority": "1001"}).status_code == 200
    assert client.get(f"{address}/delete/").status_code == 403
    assert client.get("/admin/inference/providerconfig/add/").status_code == 403
    assert "answers" in client.get("/admin/inference/providerconfig/now/").content.decode()


def test_a_trial_says_what_came_or_what_is_wrong(
    client: Client, boss: User, record: ModelRecord, engine: Any
) -> None:
    client.get("/admin/inference/providerconfig/")
    row = ProviderConfig.objects.get()
    ProviderConfig.objects.update(enabled=False)
    address = f"/admin/inference/providerconfig/{row.pk}/test/"
    page = client.post(address, {"model": "org/model"}).content.decode()
    assert "Say hello, and name one thing" in page
    assert "tokens/s" in page

    async def full(request: Request) -> AsyncIterator[Event]:
        yield Failed(code="out_of_memory", message="Memory ran out.")

    engine.script = full
    assert "org/model: Memory ran out." in client.post(address).content.decode()
    ModelRecord.objects.all().delete()
    assert "Pull one first." in client.post(address).content.decode()


def test_who_may_not_be_there_is_told_at_the_log_in(client: Client, db: None) -> None:
    client.force_login(User.objects.create_user("ann"))
    said = client.get("/admin/", follow=True).content.decode()
    assert "You are logged in as ann, who may not see that page" in said
    client.logout()
    assert "logged in as" not in client.get("/admin/", follow=True).content.decode()
