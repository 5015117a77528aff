"""Pictures over our own API: uploaded, looked at, sent, told to a model that sees, and nobody else's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from inference.protocol import Done, Generate, Text, Thought
from tests.api.rest.conftest import People
from tests.api.stage import says
from tests.api.test_streaming import events
from tests.conversations.test_attachments import png
from tests.serving import MODEL

PATH = "/rest/attachments/"
EYES = "test/vision"


def upload(people: People, data: bytes, who: str = "ann", field: str = "file") -> tuple[int, Any]:
    form = (
        f'--x\r\nContent-Disposition: form-data; name="{field}"; filename="../a.html"\r\n'
        "Content-Type: text/html\r\n\r\n"
    )
    headers = {
        "Content-Type": "multipart/form-data; boundary=x",
        "Authorization": f"Bearer {people.known[who]}",
    }
    status, _, text = people.stage.request("POST", PATH, form.encode() + data + b"\r\n--x--\r\n", headers)
    return status, json.loads(text)


@pytest.fixture
def picture(people: People) -> Iterator[str]:
    status, made = upload(people, png("teal"))
    assert status == 201
    yield made["id"]
    people.ask("ann", "DELETE", f"{PATH}{made['id']}/")


def test_a_picture_is_uploaded_looked_at_and_forgotten(people: People, picture: str) -> None:
    known = people.ask("ann", "GET", f"{PATH}{picture}/")[1]
    assert (known["type"], known["width"], known["height"], known["message"]) == ("image/png", 8, 6, None)
    headers = {"Authorization": f"Bearer {people.known['ann']}", "Accept": "image/*"}
    status, told, data = people.stage.request("GET", f"{PATH}{picture}/file/", None, headers)
    assert (status, told["Content-Type"], told["X-Content-Type-Options"]) == (200, "image/png", "nosniff")
    assert data == png("teal")
    again = people.stage.request(
        "GET", f"{PATH}{picture}/file/", None, {**headers, "If-None-Match": told["ETag"]}
    )
    assert (again[0], again[2]) == (304, b"")
    assert people.ask("ann", "GET", f"{PATH}?unsent=true")[1]["count"] == 1
    assert people.ask("ann", "DELETE", f"{PATH}{picture}/")[0] == 204
    assert people.ask("ann", "GET", f"{PATH}{picture}/file/")[0] == 404
    assert people.ask("ann", "GET", PATH)[1]["count"] == 0


def test_a_picture_of_others_is_not_there(people: People, picture: str) -> None:
    for who in ("bob", "boss"):
        for method, path in (("GET", ""), ("GET", "file/"), ("DELETE", "")):
            assert people.ask(who, method, f"{PATH}{picture}/{path}")[0] == 404
        assert people.ask(who, "GET", PATH)[1]["count"] == 0
        asked = {"message": "x", "model": EYES, "attachments": [picture]}
        assert people.ask(who, "POST", "/stream-message", asked)[0] == 404
    assert people.ask("ann", "GET", f"{PATH}{picture}/file/x")[0] == 404


def test_what_is_no_picture_is_refused(people: People) -> None:
    for data, field, status, said in (
        (b"<svg/>", "file", 400, "no picture that can be read"),
        (png()[:-30], "file", 400, "damaged"),
        (png(), "other", 400, "no file in the form"),
        (b"\0" * (16 * 2**20 + 1), "file", 413, "larger than 16 MB"),
    ):
        found, answer = upload(people, data, field=field)
        assert (found, set(answer["error"])) == (status, {"code", "message", "param"})
        assert said in answer["error"]["message"]
    assert people.ask("ann", "POST", PATH, {"file": "x"})[0] == 415
    many = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n\r\n' for _ in range(200)
    )
    headers = {
        "Content-Type": "multipart/form-data; boundary=x",
        "Authorization": f"Bearer {people.known['ann']}",
    }
    assert people.stage.request("POST", PATH, many + b"--x--\r\n", headers)[0] == 400


def test_a_message_with_a_picture_reaches_a_model_that_sees(people: People, picture: str) -> None:
    people.stage.engine.script = says(Text(text="Teal."), Done(reason="stop"))
    started = events(people, {"message": "Which?", "model": EYES, "attachments": [picture]})[0][1]
    asked = people.stage.engine.requests[-1]
    assert isinstance(asked, Generate)
    assert (asked.messages[-1].content, asked.messages[-1].images) == ("Which?", (png("teal"),))
    path = f"/rest/messages/?conversation={started['conversation']}"
    question, answer = people.ask("ann", "GET", path)[1]["results"]
    assert (question["attachments"], answer["attachments"]) == ([picture], [])
    assert people.ask("ann", "GET", f"{PATH}?message={question['id']}")[1]["results"][0]["id"] == picture
    assert people.ask("ann", "DELETE", f"{PATH}{picture}/")[0] == 400
    events(people, {"attachments": [picture], "conversation": started["conversation"]})
    asked = people.stage.engine.requests[-1]
    assert isinstance(asked, Generate)
    assert [len(message.images) for message in asked.messages] == [1, 0, 1]
    assert people.ask("ann", "DELETE", f"/rest/conversations/{started['conversation']}/")[0] == 204
    assert people.ask("ann", "GET", f"{PATH}{picture}/file/")[0] == 404


def test_a_model_that_does_not_see_is_not_asked(people: People, picture: str) -> None:
    for body, status in (
        ({"message": "x", "model": MODEL, "attachments": [picture]}, 400),
        ({"message": "x", "model": EYES, "attachments": ["x"]}, 400),
        ({"message": "x", "model": EYES, "attachments": [picture, picture]}, 400),
        ({"message": "x", "model": EYES, "attachments": ["5f0c1c56-0a1b-4c8f-9a55-7d0a8f3f6c11"]}, 404),
    ):
        found, answer = people.ask("ann", "POST", "/stream-message", body)
        assert (found, set(answer)) == (status, {"error"})
    assert not [asked for asked in people.stage.engine.requests if isinstance(asked, Generate)]


def test_thoughts_are_told_apart_from_the_answer(people: People) -> None:
    people.stage.engine.script = says(
        Thought(text=" Hm, "), Thought(text="so. "), Text(text="It "), Text(text="is."), Done(reason="stop")
    )
    heard = events(people, {"message": "Is it?", "model": "test/thinker"})
    told = {
        name: "".join(data["content"] for event, data in heard if event == name)
        for name in ("thinking", "message")
    }
    assert told == {"thinking": "Hm, so.", "message": "It is."}
    names = [name for name, _ in heard]
    assert names.index("thinking") < names.index("message")
    assert heard[-1][1]["metadata"]["thinkingTime"] >= 0
    stored = people.ask("ann", "GET", f"/rest/messages/{heard[0][1]['message']}/")[1]
    assert (stored["thinking"], stored["content"]) == ("Hm, so.", "It is.")
