"""Our own API: what everybody shares, what is one's own, and who may change what."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from inference.protocol import Done, Event, Load, Loading, Request, Unload
from tests.api.rest.conftest import NOTE, People
from tests.conversations.test_attachments import png
from tests.serving import MODEL, eventually

OWNED = ("conversations", "messages", "attachments", "usage", "keys")
SHARED = ("aliases", "models", "providers")


@pytest.mark.parametrize("name", OWNED)
def test_what_belongs_to_somebody_is_for_those_who_say_who_they_are(people: People, name: str) -> None:
    status, answer = people.ask("", "GET", f"/rest/{name}/")
    assert (status, answer["error"]["code"]) == (401, "unauthorized")
    for who in ("ann", "cookie"):
        assert people.ask(who, "GET", f"/rest/{name}/")[0] == 200


@pytest.mark.parametrize("name", SHARED)
def test_what_everybody_shares_is_open_on_this_machine(people: People, name: str) -> None:
    status, answer = people.ask("", "GET", f"/rest/{name}/")
    assert status == 200
    assert set(answer) == {"count", "next", "previous", "results"}


def test_conversations_and_messages_of_others_are_not_there(people: People) -> None:
    talks = people.ask("ann", "GET", "/rest/conversations/")[1]["results"]
    assert [talk["title"] for talk in talks] == ["of ann"]
    said = people.ask("cookie", "GET", "/rest/messages/")[1]["results"]
    assert [message["content"] for message in said] == ["ann asks", "yes"]
    for who in ("bob", "boss"):
        for method, body in (("GET", None), ("PATCH", {"title": "mine"}), ("DELETE", None)):
            path = f"/rest/conversations/{people.known['ann talk']}/"
            assert people.ask(who, method, path, body)[0] == 404
        assert people.ask(who, "GET", f"/rest/messages/{said[0]['id']}/")[0] == 404
        path = f"/rest/messages/?conversation={people.known['ann talk']}"
        assert people.ask(who, "GET", path)[1]["count"] == 0


def test_a_conversation_is_renamed_and_deleted(people: People) -> None:
    path = f"/rest/conversations/{people.known['bob talk']}/"
    assert people.ask("bob", "PATCH", path, {"title": "new"})[1]["title"] == "new"
    assert people.ask("bob", "GET", "/rest/conversations/?title=NEW")[1]["count"] == 1
    assert people.ask("bob", "PATCH", path, {"title": 5})[0] == 400
    assert people.ask("bob", "DELETE", path)[0] == 204
    assert people.ask("bob", "GET", path)[0] == 404


def test_lists_have_pages_and_filters(people: People) -> None:
    page = people.ask("", "GET", "/rest/models/?page_size=3&page=2")[1]
    assert (page["count"], len(page["results"])) == (8, 3)
    assert page["next"].endswith("page=3&page_size=3")
    found = people.ask("", "GET", "/rest/models/?name=tool")[1]["results"]
    assert [model["name"] for model in found] == ["test/tools"]
    for query in ("page_size=0", "page_size=x", "page_size=201"):
        assert people.ask("", "GET", f"/rest/models/?{query}")[0] == 400
    assert people.ask("", "GET", "/rest/models/?page=99")[0] == 404


@pytest.mark.parametrize(
    ("name", "orderings"),
    [
        ("aliases", ("name", "model", "created", "modified")),
        ("conversations", ("created", "updated", "title")),
        ("messages", ("created",)),
        ("attachments", ("created", "size")),
        ("models", ("name", "size", "created", "modified", "last_used")),
        ("keys", ("created", "name", "last_used")),
    ],
)
def test_lists_are_ordered_as_asked(people: People, name: str, orderings: tuple[str, ...]) -> None:
    for field in orderings:
        for sign in ("", "-"):
            status, page = people.ask("ann", "GET", f"/rest/{name}/?ordering={sign}{field}")
            values = [row[field] for row in page["results"] if row[field] is not None]
            assert (status, values) == (200, sorted(values, reverse=bool(sign)))
    for wrong in ("password", "-", "created,name", "--name", "user__password"):
        assert people.ask("ann", "GET", f"/rest/{name}/?ordering={wrong}")[0] == 400


def test_pages_hold_each_once_also_where_all_are_equal(people: People) -> None:
    """Their order is that of their keys then, so that no page repeats what another had."""
    pages = [people.ask("", "GET", f"/rest/models/?page_size=3&page={n}&ordering=size")[1] for n in (1, 2, 3)]
    names = [model["name"] for page in pages for model in page["results"]]
    assert (len(names), len(set(names))) == (8, 8)


def test_a_message_says_what_was_done_other_than_asked(people: People) -> None:
    said = people.ask("ann", "GET", "/rest/messages/?ordering=created")[1]["results"]
    assert [message["note"] for message in said] == ["", NOTE]


def test_nobody_writes_to_what_is_anothers(people: People) -> None:
    """As if it were not there, also for who manages the server; and it is as it was."""
    talk = people.known["ann talk"]
    form = {
        "Authorization": f"Bearer {people.known['ann']}",
        "Content-Type": "multipart/form-data; boundary=x",
    }
    file = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        + png()
        + b"\r\n--x--\r\n"
    )
    picture = json.loads(people.stage.request("POST", "/rest/attachments/", file, form)[2])["id"]
    keys = people.ask("ann", "GET", "/rest/keys/")[1]["results"]
    key = next(key["id"] for key in keys if key["state"] == "active")
    message = people.ask("ann", "GET", "/rest/messages/")[1]["results"][0]["id"]
    tried: list[tuple[str, str, Any]] = [
        ("PATCH", f"/rest/conversations/{talk}/", {"title": "mine"}),
        ("DELETE", f"/rest/conversations/{talk}/", None),
        ("GET", f"/rest/messages/{message}/", None),
        ("GET", f"/rest/attachments/{picture}/", None),
        ("GET", f"/rest/attachments/{picture}/file/", None),
        ("DELETE", f"/rest/attachments/{picture}/", None),
        ("GET", f"/rest/keys/{key}/", None),
        ("POST", "/stream-message", {"message": "x", "model": MODEL, "conversation": talk}),
        ("POST", "/stream-message", {"message": "x", "model": "test/vision", "attachments": [picture]}),
    ]
    for who in ("bob", "boss"):
        assert [people.ask(who, *each)[0] for each in tried] == [404] * len(tried)
        assert people.ask(who, "DELETE", f"/rest/keys/{key}/")[0] in {403, 404}
        query = {"query": f'{{ conversation(id: "{talk}") {{ title }} }}'}
        assert people.ask(who, "POST", "/graphql", query)[1]["errors"][0]["extensions"]["code"] == "not_found"
        headers = {"Cookie": people.known["cookie"], "Origin": "http://evil.test"}
        assert people.stage.request("DELETE", f"/rest/conversations/{talk}/", None, headers)[0] == 403
    assert people.ask("ann", "GET", f"/rest/conversations/{talk}/")[1]["title"] == "of ann"
    assert people.ask("ann", "GET", f"/rest/keys/{key}/")[1]["state"] == "active"
    assert people.ask("ann", "DELETE", f"/rest/attachments/{picture}/")[0] == 204


def test_an_alias_is_made_changed_asked_and_deleted(people: People) -> None:
    body = {
        "name": "pal",
        "model": MODEL,
        "system": "Be brief.",
        "options": {"temperature": 0, "stop": ["x"]},
    }
    status, made = people.ask("boss", "POST", "/rest/aliases/", body)
    assert (status, made["options"], made["model"]) == (201, {"temperature": 0, "stop": ["x"]}, MODEL)
    path = f"/rest/aliases/{made['id']}/"
    assert people.ask("boss", "POST", "/rest/aliases/", body)[1]["error"]["param"] == "name"
    assert people.ask("boss", "PATCH", path, {"json_mode": True})[1]["json_mode"] is True
    assert people.ask("boss", "PATCH", path, {"enabled": False})[0] == 200
    assert people.ask("ann", "GET", path)[0] == 404
    assert people.ask("boss", "DELETE", path)[0] == 204


def test_an_alias_that_another_names_is_deleted_by_nobody(people: People) -> None:
    ids = {}
    for name in ("inner", "outer"):
        ids[name] = people.ask("boss", "POST", "/rest/aliases/", {"name": name, "model": MODEL})[1]["id"]
    assert people.ask("boss", "PATCH", f"/rest/aliases/{ids['outer']}/", {"model": "inner"})[0] == 200
    said = "inner is what outer stands for. Delete that alias first, or let it name another."
    status, answer = people.ask("boss", "DELETE", f"/rest/aliases/{ids['inner']}/")
    assert (status, answer["error"]["code"], answer["error"]["message"]) == (409, "alias_held", said)
    assert people.ask("boss", "DELETE", "/api/delete", {"model": "inner"}) == (409, {"error": said})
    for name in ("outer", "inner"):
        assert people.ask("boss", "DELETE", "/api/delete", {"model": name})[0] == 200


def test_an_alias_shows_every_message_that_was_taken_anywhere(people: People) -> None:
    said = [{"role": "user", "content": ""}, {"role": "tool", "content": "5"}]
    body = {"model": "quoting", "from": MODEL, "messages": said, "stream": False}
    assert people.ask("boss", "POST", "/api/create", body)[0] == 200
    found = people.ask("boss", "GET", "/rest/aliases/?name=quoting")[1]["results"][0]
    assert found["messages"] == said
    path = f"/rest/aliases/{found['id']}/"
    assert people.ask("boss", "PATCH", path, {"messages": said})[1]["messages"] == said
    assert people.ask("boss", "DELETE", path)[0] == 204


def test_only_who_manages_changes_what_is_shared(people: People) -> None:
    body = {"name": "mine", "model": MODEL}
    assert people.ask("ann", "POST", "/rest/aliases/", body)[0] == 403
    assert people.ask("cookie", "POST", "/rest/aliases/", body)[0] == 403
    assert people.ask("cookie", "POST", "/rest/models/1/load/")[0] == 403
    assert people.ask("cookie", "DELETE", "/rest/models/1/")[0] == 403


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": MODEL}, "name"),
        ({"name": "a b", "model": MODEL}, "name"),
        ({"name": "a", "model": MODEL, "options": {"temperature": "hot"}}, "options"),
        ({"name": "a", "model": MODEL, "keep_alive": "soon"}, "keep_alive"),
        ({"name": "a", "model": MODEL, "messages": [{"role": "nobody", "content": ""}]}, "messages.0.role"),
    ],
)
def test_what_cannot_be_meant_is_said_with_its_field(people: People, body: object, param: str) -> None:
    status, answer = people.ask("boss", "POST", "/rest/aliases/", body)
    assert status == 400
    assert answer["error"]["param"].split(".")[0] == param.split(".")[0]


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"name": NaN}', b"[" * 100_000, b'{"name": "\\ud800"}', b"\xff"]
)
def test_broken_json_is_a_client_s_mistake(people: People, body: bytes) -> None:
    assert people.ask("boss", "POST", "/rest/aliases/", body)[0] == 400


@pytest.mark.parametrize("depth", [33, 900, 950, 978])
def test_what_is_nested_too_deeply_is_a_client_s_mistake(people: People, depth: int) -> None:
    made = people.ask("boss", "POST", "/rest/aliases/", {"name": f"deep{depth}", "model": MODEL})[1]
    body = b'{"options": %b1%b}' % (b'{"a":' * depth, b"}" * depth)
    assert people.ask("boss", "PATCH", f"/rest/aliases/{made['id']}/", body)[0] == 400


def test_other_methods_and_addresses_are_refused_as_json(people: People) -> None:
    assert people.ask("boss", "PUT", "/rest/aliases/1/", {})[1]["error"]["code"] == "method_not_allowed"
    assert people.ask("boss", "GET", "/rest/nothing/")[0] == 404


def test_models_are_loaded_and_let_go(people: People) -> None:
    found = people.ask("", "GET", f"/rest/models/?name={MODEL}")[1]["results"][0]
    assert people.ask("boss", "POST", f"/rest/models/{found['id']}/load/") == (202, {"status": "loaded"})
    assert people.ask("boss", "POST", f"/rest/models/{found['id']}/unload/") == (202, {"status": "unloading"})
    assert [type(request) for request in people.stage.engine.requests] == [Load, Unload]


def test_a_load_that_waits_goes_on_without_its_client(people: People) -> None:
    gate = asyncio.Event()
    loops = []

    async def slow(request: Request) -> AsyncIterator[Event]:
        loops.append(asyncio.get_running_loop())
        await gate.wait()
        yield Loading(seconds=0)
        yield Done(reason="load")

    people.stage.engine.script = slow
    assert people.ask("boss", "POST", "/rest/models/1/load/") == (202, {"status": "loading"})
    assert people.stage.engine.closed == 0
    loops[0].call_soon_threadsafe(gate.set)
    assert people.ask("", "GET", "/rest/models/")[0] == 200


def test_a_pull_is_begun_and_ends_by_itself(people: People) -> None:
    status, begun = people.ask("boss", "POST", "/rest/models/pull/", {"model": "org/unknown"})
    assert (status, begun["model"]) == (202, "org/unknown")
    eventually(lambda: people.ask("", "GET", "/rest/models/pulls/")[1] == [], lambda: "still pulling")
    assert people.ask("boss", "POST", "/rest/models/pull/", {"model": "no slash"})[0] == 404


def test_a_model_that_an_alias_stands_for_stays(people: People) -> None:
    people.ask("boss", "POST", "/rest/aliases/", {"name": "held", "model": "test/insert"})
    found = people.ask("", "GET", "/rest/models/?name=test/insert")[1]["results"][0]
    status, answer = people.ask("boss", "DELETE", f"/rest/models/{found['id']}/")
    assert 400 <= status < 500
    assert "held" in answer["error"]["message"]


def test_providers_say_what_they_hold(people: People) -> None:
    assert people.ask("", "GET", "/rest/providers/huggingface/")[1] == {
        "name": "huggingface",
        "enabled": True,
        "priority": 0,
        "healthy": True,
        "loaded": [],
    }
    assert people.ask("", "GET", "/rest/providers/nobody/")[0] == 404


def test_usage_is_one_s_own_unless_one_may_see_all(people: People) -> None:
    mine = people.ask("ann", "GET", "/rest/usage/?by=model")[1]["results"]
    assert [row["requests"] for row in mine] == [2]
    all_ = people.ask("boss", "GET", "/rest/usage/?by=user&of=all")[1]["results"]
    assert {row["name"]: row["requests"] for row in all_} == {"ann": 2, "bob": 1}
    assert people.ask("ann", "GET", "/rest/usage/?of=all")[0] == 403
    assert people.ask("ann", "GET", "/rest/usage/?days=7")[1]["count"] == 7
    for query in ("by=password", "days=0", "days=x"):
        assert people.ask("ann", "GET", f"/rest/usage/?{query}")[0] == 400


def test_keys_are_made_by_people_and_shown_once(people: People) -> None:
    status, made = people.ask("cookie", "POST", "/rest/keys/", {"name": "second"})
    assert (status, made["scopes"]) == (201, ["generate", "read"])
    assert made["token"].startswith(f"hw_{made['prefix']}_")
    shown = people.ask("ann", "GET", f"/rest/keys/{made['id']}/")[1]
    assert "token" not in shown
    limits = {"name": "third", "requests_per_minute": 5, "tokens_per_day": 1000, "bytes_per_request": 9000}
    status, limited = people.ask("cookie", "POST", "/rest/keys/", limits)
    assert (status, {**limited, **limits}) == (201, limited)
    assert people.ask("cookie", "DELETE", f"/rest/keys/{limited['id']}/")[0] == 204
    assert people.ask("bob", "GET", f"/rest/keys/{made['id']}/")[0] == 404
    assert people.ask("cookie", "POST", "/rest/keys/", {"name": "m", "scopes": ["manage"]})[0] == 400
    assert people.ask("boss", "POST", "/rest/keys/", {"name": "m"})[0] == 403
    assert people.ask("cookie", "DELETE", f"/rest/keys/{made['id']}/")[0] == 204
    assert people.ask("ann", "GET", f"/rest/keys/{made['id']}/")[1]["state"] == "revoked"
    assert people.ask("ann", "GET", "/rest/keys/?revoked=false")[1]["count"] == 1


def test_a_foreign_page_does_not_act_as_whoever_is_logged_in(people: People) -> None:
    headers = {"Cookie": people.known["cookie"], "Origin": "http://localhost:3000"}
    assert people.stage.request("GET", "/rest/conversations/", None, headers)[0] == 401
    headers = {"Cookie": people.known["cookie"], "Origin": people.stage.server.url}
    assert people.stage.request("GET", "/rest/conversations/", None, headers)[0] == 200


@pytest.mark.parametrize(
    "more",
    [
        {"system": "a\x00b"},
        {"license": "\x00"},
        {"parameters": {"stop": ["a\x00b"]}},
        {"messages": [{"role": "user", "content": "\x00"}]},
    ],
)
def test_a_nul_which_postgresql_cannot_keep_is_refused_everywhere(
    people: People, more: dict[str, object]
) -> None:
    body = {"model": "nul", "from": MODEL, "stream": False, **more}
    status, answer = people.ask("boss", "POST", "/api/create", body)
    assert (status, "NUL" in answer["error"]) == (400, True)


def test_a_body_that_comes_in_chunks_is_read(people: People) -> None:
    body = json.dumps({"name": "chunked", "model": MODEL}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {people.known['boss']}"}
    connection = http.client.HTTPConnection(urlsplit(people.stage.server.url).netloc, timeout=30)
    connection.request("POST", "/rest/aliases/", iter([body[:9], body[9:]]), headers, encode_chunked=True)
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["name"]) == (201, "chunked")
    connection.close()
