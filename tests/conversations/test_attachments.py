"""Pictures: checked before they are kept, their owner's only, told to models that see, gone with the talk."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.db.models.signals import pre_delete
from django.test import Client
from django.utils import timezone
from PIL import Image

from conversations import attachments, media, pictures, selectors, services
from conversations.models import Attachment, Conversation, Message
from inference.errors import InferenceError, InvalidRequest, NotFound, TooLarge, Unsupported
from inference.models import ModelRecord
from inference.protocol import Timings, Usage

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, settings: Any) -> Iterator[Path]:
    settings.HOME = tmp_path
    yield tmp_path


def png(colour: str = "red", size: tuple[int, int] = (8, 6), format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, format)
    return file.getvalue()


def kept(user: User, data: bytes = b"") -> UUID:
    return attachments.attachment_store(user=user, data=data or png()).pk


def asked(
    user: User, *ids: UUID, text: str = "What is it?", model: str = "test/eyes", talk: Any = None
) -> services.OpenedTurn:
    turn = services.turn_open(user=user, conversation=talk, text=text, model=model, attachments=ids)
    services.turn_close(
        message=turn.answer, status=Message.Status.COMPLETE, content="A.", usage=Usage(), timings=Timings()
    )
    return turn


def files(home: Path) -> set[str]:
    return {file.name for file in (home / "media").iterdir()}


def send(client: Client, data: bytes, name: str = "x.png", type: str = "image/png") -> Any:
    return client.post("/attachments/", {"file": SimpleUploadedFile(name, data, type)})


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_the_type_is_found_by_decoding_whatever_the_upload_says(
    ann_client: Client, ann: User, format: str
) -> None:
    data = png(format=format)
    said = send(ann_client, data, "evil.html", "text/html")
    assert said.status_code == 201
    response = ann_client.get(said.json()["url"])
    assert response.content == data
    assert response["Content-Type"] == f"image/{format.lower()}"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert "private" in response["Cache-Control"]
    stored = Attachment.objects.get(owner=ann)
    assert (stored.width, stored.height, stored.size) == (8, 6, len(data))
    again = ann_client.get(said.json()["url"], headers={"If-None-Match": response["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", InvalidRequest),
        (SVG, InvalidRequest),
        (png()[:50], InvalidRequest),
        (png(format="TIFF"), InvalidRequest),
        (png(size=(500, 2)), InvalidRequest),
        (b"\x89PNG" + bytes(pictures.MOST_BYTES), TooLarge),
    ],
    ids=["empty", "svg", "cut off", "tiff", "too thin", "too long"],
)
def test_what_is_no_good_picture_is_not_kept(
    ann: User, home: Path, data: bytes, error: type[InferenceError]
) -> None:
    with pytest.raises(error):
        attachments.attachment_store(user=ann, data=data)
    assert not Attachment.objects.exists()
    assert not (home / "media").exists()


@pytest.mark.parametrize("side", [9000, 14_000])
def test_a_picture_that_announces_too_many_pixels_is_refused_undecoded(ann: User, side: int) -> None:
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "PNG")
    assert len(file.getvalue()) < 100_000
    with pytest.raises(TooLarge, match="million pixels"):
        attachments.attachment_store(user=ann, data=file.getvalue())


def test_an_upload_says_in_json_what_was_wrong(ann_client: Client) -> None:
    refused = send(ann_client, b"no picture")
    assert refused.status_code == 400
    assert "no picture that can be read" in refused.json()["error"]
    assert ann_client.post("/attachments/", {"file": "text"}).status_code == 400
    assert ann_client.get("/attachments/").status_code == 405


def test_an_upload_needs_the_page_s_token(ann: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ann)
    assert send(client, png()).status_code == 403
    html = client.get("/chat/").content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', html)
    assert token
    file = SimpleUploadedFile("x.png", png(), "image/png")
    sent = client.post("/attachments/", {"file": file}, headers={"X-CSRFToken": token[1]})
    assert sent.status_code == 201


def test_nobody_else_sees_sends_or_removes_a_picture(
    client: Client, ann: User, bob: User, eyes: ModelRecord, home: Path
) -> None:
    mine = kept(ann)
    assert client.get(f"/attachments/{mine}/").status_code == 302
    bob.is_superuser = bob.is_staff = True
    bob.save()
    client.force_login(bob)
    theirs, nothing = (client.get(f"/attachments/{id}/") for id in (mine, uuid4()))
    assert (theirs.status_code, theirs.content) == (404, nothing.content)
    client.post(f"/attachments/{mine}/remove/")
    with pytest.raises(NotFound):
        asked(bob, mine)
    assert Attachment.objects.get().message is None
    assert not Conversation.objects.exists()
    assert files(home) == {mine.hex}


def test_a_picture_is_removed_until_it_is_sent(
    ann_client: Client, ann: User, eyes: ModelRecord, home: Path
) -> None:
    first, second = kept(ann), kept(ann)
    asked(ann, second)
    for id in (first, second):
        assert ann_client.post(f"/attachments/{id}/remove/").status_code == 204
    assert files(home) == {second.hex}


def test_the_model_gets_the_pictures_of_every_turn_in_order(ann: User, eyes: ModelRecord) -> None:
    red, blue, green = png("red"), png("blue"), png("green")
    first = asked(ann, kept(ann, red), kept(ann, blue))
    second = asked(ann, kept(ann, green), text="", talk=first.conversation.pk)
    assert [(said.content, said.images) for said in second.request.messages] == [
        ("What is it?", (red, blue)),
        ("A.", ()),
        ("", (green,)),
    ]


def test_a_picture_alone_is_enough(ann: User, eyes: ModelRecord) -> None:
    assert asked(ann, kept(ann), text=" ").conversation.title == "A picture"


def test_a_model_that_does_not_see_refuses_before_anything_is_stored(ann: User, model: ModelRecord) -> None:
    id = kept(ann)
    with pytest.raises(Unsupported, match="tester cannot see pictures"):
        asked(ann, id, model="tester")
    assert not Conversation.objects.exists()
    assert Attachment.objects.get().message is None


def test_a_model_that_does_not_see_may_go_on_with_a_talk(
    ann: User, eyes: ModelRecord, model: ModelRecord
) -> None:
    talk = asked(ann, kept(ann)).conversation
    assert all(not said.images for said in asked(ann, model="tester", talk=talk.pk).request.messages)


def test_old_pictures_are_left_out_where_there_are_too_many(
    ann: User, eyes: ModelRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors, "TOLD_PICTURES", 2)
    talk = None
    for colour in ("red", "blue", "green"):
        turn = asked(ann, kept(ann, png(colour)), talk=talk)
        talk = turn.conversation.pk
    assert [said.images for said in turn.request.messages if said.role == "user"] == [
        (),
        (png("blue"),),
        (png("green"),),
    ]


def test_a_missing_file_does_not_end_a_talk(ann: User, eyes: ModelRecord) -> None:
    lost = kept(ann)
    talk = asked(ann, lost).conversation.pk
    media.media_remove(lost)
    assert asked(ann, kept(ann, png("blue")), talk=talk).request.messages[-1].images == (png("blue"),)


def test_asking_again_copies_the_picture(ann: User, eyes: ModelRecord, home: Path) -> None:
    id = kept(ann)
    first, second = asked(ann, id), asked(ann, id)
    services.conversation_delete(user=ann, conversation_id=first.conversation.pk)
    left = Attachment.objects.get()
    assert left.message == second.question
    assert files(home) == {left.pk.hex}
    assert media.media_read(left.pk) == png()


def test_pictures_go_with_their_conversation_and_with_their_owner(
    ann: User, bob: User, eyes: ModelRecord, home: Path
) -> None:
    talk, bobs = asked(ann, kept(ann), kept(ann)).conversation, kept(bob)
    services.conversation_delete(user=ann, conversation_id=talk.pk)
    assert files(home) == {bobs.hex}
    bob.delete()
    assert files(home) == set()


def test_too_many_too_much_and_the_same_twice_are_refused(
    ann: User, eyes: ModelRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [kept(ann) for _ in range(attachments.MOST_PICTURES + 1)]
    with pytest.raises(TooLarge, match="At most 8"):
        asked(ann, *ids)
    with pytest.raises(InvalidRequest, match="twice"):
        asked(ann, ids[0], ids[0])
    monkeypatch.setattr(attachments, "MOST_TOGETHER", 3 * len(png()) - 1)
    with pytest.raises(TooLarge, match="together"):
        asked(ann, *ids[:3])
    assert not Conversation.objects.exists()
    asked(ann, *ids[:2])


def test_what_waits_to_be_sent_is_bounded(ann: User, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "MOST_UNSENT", 2)
    ids = [kept(ann) for _ in range(4)]
    assert files(home) == {id.hex for id in ids[2:]}


def test_the_sweep_takes_orphans_and_nothing_else(ann: User, eyes: ModelRecord, home: Path) -> None:
    sent, waiting, forgotten = kept(ann), kept(ann), kept(ann)
    asked(ann, sent)
    long_ago = timezone.now() - timedelta(days=2)
    Attachment.objects.exclude(pk=waiting).update(created=long_ago)
    for name in (uuid4().hex, ".half"):
        (home / "media" / name).write_bytes(b"x")
        os.utime(home / "media" / name, (1, 1))
    (home / "media" / "young").write_bytes(b"x")
    assert attachments.attachments_sweep() == 3
    assert files(home) == {sent.hex, waiting.hex, "young"}
    assert not Attachment.objects.filter(pk=forgotten).exists()


def test_files_go_with_rows_that_are_deleted_with_much_else(ann: User, home: Path) -> None:
    kept(ann)
    with transaction.atomic():
        ann.delete()
        assert files(home)
    assert not files(home)


def test_the_sweep_leaves_what_is_sent_meanwhile(ann: User, eyes: ModelRecord, home: Path) -> None:
    first, late = kept(ann), kept(ann)
    for days, id in ((3, first), (2, late)):
        Attachment.objects.filter(pk=id).update(created=timezone.now() - timedelta(days=days))

    def send(instance: Attachment, **_: object) -> None:
        if instance.pk == first:
            asked(ann, late)

    pre_delete.connect(send, sender=Attachment)
    try:
        assert attachments.attachments_sweep() == 1
    finally:
        pre_delete.disconnect(send, sender=Attachment)
    assert Attachment.objects.get().pk == late
    assert files(home) == {late.hex}


def test_history_shows_pictures_as_plain_html(ann_client: Client, ann: User, eyes: ModelRecord) -> None:
    id = kept(ann)
    talk = asked(ann, id).conversation
    html = ann_client.get(f"/chat/{talk.pk}/").content.decode()
    assert f'<img src="/attachments/{id}/" alt="Picture 1" width="8" height="6"' in html
    assert re.search(r"<option value=\"test/eyes\" selected data-sees>test/eyes", html)


def test_the_folder_is_its_owner_s_alone(ann: User, home: Path) -> None:
    id = kept(ann)
    assert (home / "media").stat().st_mode & 0o077 == 0
    assert (home / "media" / id.hex).stat().st_mode & 0o077 == 0
