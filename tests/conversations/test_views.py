"""The pages: readable without JavaScript, inert whatever was said, and their owner's only."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import get_resolver, reverse

from conversations import selectors, services
from conversations.models import Conversation, Message
from inference.models import ModelRecord
from inference.protocol import Timings, Usage

pytestmark = pytest.mark.django_db

Status = Message.Status


@pytest.fixture
def ask(ann: User, model: ModelRecord) -> Callable[..., Conversation]:
    """A turn of Ann's from its question to its end."""

    def turn(
        text: str = "Hello", answer: str = "Hi", status: Status = Status.COMPLETE, error: str = ""
    ) -> Conversation:
        opened = services.turn_open(user=ann, conversation=None, text=text, model="tester")
        if status != Status.STREAMING:
            services.turn_close(
                message=opened.answer,
                status=status,
                content=answer,
                usage=Usage(completion=1234),
                timings=Timings(total=2_500_000_000, completion=2_000_000_000),
                finish_reason="stop",
                error=error,
            )
        return opened.conversation

    return turn


class Elements(HTMLParser):
    """Every element of a page, with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, {name: value or "" for name, value in attrs}))


def page(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


def test_a_new_conversation_leads_to_a_first_answer(ann_client: Client, model: ModelRecord) -> None:
    html = page(ann_client, "/chat/")
    assert "What shall we talk about?" in html
    assert html.index('<optgroup label="Aliases"><option value="tester" selected>tester · ') < html.index(
        "test/model"
    )


def test_without_a_model_the_page_says_how_to_get_one(ann_client: Client) -> None:
    html = page(ann_client, "/chat/")
    assert "manage.py pull starter" in html
    assert re.search(r"<textarea[^>]*disabled", html)


def test_history_is_plain_html(ann_client: Client, ask: Callable[..., Conversation]) -> None:
    conversation = ask("What <b>is</b>\n  it?", "**Bold** and `code`")
    html = page(ann_client, f"/chat/{conversation.pk}/")
    assert '<div class="question-text" dir="auto">What &lt;b&gt;is&lt;/b&gt;\n  it?</div>' in html
    assert "<p><strong>Bold</strong> and <code>code</code></p>" in html
    for figure in ("model", "1,234 tokens", "617.0 tok/s", "2.5 s", "complete"):
        assert f">{figure}</span>" in html


def test_thoughts_are_folded_into_history(ann_client: Client, ask: Callable[..., Conversation]) -> None:
    conversation = ask()
    Message.objects.filter(pk=conversation.active_leaf_id).update(
        thinking="<script>alert(1)</script> *so*", thinking_ns=12_400_000_000
    )
    html = page(ann_client, f"/chat/{conversation.pk}/")
    assert '<details class="thoughts"><summary>Thought for 12 s</summary>' in html
    assert "<em>so</em>" in html
    assert "<script>alert" not in html
    assert "<details" not in page(ann_client, f"/chat/{ask().pk}/")


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7|add:7 }}"]
)
def test_what_was_said_is_never_run(
    ann_client: Client, ask: Callable[..., Conversation], hostile: str
) -> None:
    conversation = ask(hostile, hostile, Status.INTERRUPTED, error=hostile)
    elements = Elements()
    elements.feed(page(ann_client, f"/chat/{conversation.pk}/"))
    for tag, attributes in elements.seen:
        assert tag not in {"img", "iframe", "style"}
        assert tag != "script" or attributes["src"].startswith("/static/")
        assert not any(name == "style" or name.startswith("on") for name in attributes)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status.STOPPED, "You stopped this answer."),
        (Status.INTERRUPTED, "The answer was cut off. The engine died."),
        (Status.FAILED, "No answer came. The engine died."),
    ],
)
def test_an_answer_that_was_cut_short_says_so(
    ann_client: Client, ask: Callable[..., Conversation], status: Status, words: str
) -> None:
    error = "" if status == Status.STOPPED else "The engine died."
    html = page(ann_client, f"/chat/{ask(status=status, error=error).pk}/")
    assert words in html
    assert "Try again" in html


def test_an_answer_that_is_being_written_is_there_so_far(
    ann_client: Client, ask: Callable[..., Conversation]
) -> None:
    conversation = ask(status=Status.STREAMING)
    services.message_checkpoint(message_id=conversation.active_leaf_id, content="so far")
    html = page(ann_client, f"/chat/{conversation.pk}/")
    assert 'data-status="streaming"' in html
    assert "<p>so far</p>" in html


def test_a_long_history_comes_in_parts(
    ann_client: Client, ask: Callable[..., Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors, "HISTORY_PAGE", 1)
    conversation = ask("the question", "the answer")
    html = page(ann_client, f"/chat/{conversation.pk}/")
    assert "the question</div>" not in html
    earlier = re.search(r'href="(\?before=[^"]+)">Earlier messages', html)
    assert earlier
    html = page(ann_client, f"/chat/{conversation.pk}/{earlier[1]}")
    assert "the question</div>" in html
    assert "Go to the latest messages" in html
    assert 'id="composer"' not in html


@pytest.mark.parametrize(
    "query", ["?before=nonsense", "?page=x", "?page=0", "?page=99999", "?page=-1", "?page=²"]
)
def test_a_strange_address_is_harmless(
    ann_client: Client, ask: Callable[..., Conversation], query: str
) -> None:
    page(ann_client, f"/chat/{ask().pk}/{query}")


def test_a_page_takes_few_queries(
    ann_client: Client, ask: Callable[..., Conversation], django_assert_max_num_queries: Any
) -> None:
    conversation = [ask() for _ in range(10)][-1]
    with django_assert_max_num_queries(10):
        page(ann_client, f"/chat/{conversation.pk}/")


def test_no_page_of_a_person_is_kept_by_anybody(ann_client: Client, ask: Callable[..., Conversation]) -> None:
    assert "no-store" in ann_client.get(f"/chat/{ask().pk}/")["Cache-Control"]


def test_what_was_said_is_searched_for(ann_client: Client, ask: Callable[..., Conversation]) -> None:
    assert 'role="search"' not in page(ann_client, "/chat/")
    ask("A boat & a <sail>", "Of course."), ask("Lisbon", "Take the tram.")
    html = page(ann_client, "/chat/?q=TRAM")
    assert "Lisbon</a>" in html
    assert "A boat" not in html
    assert "/?q=TRAM" in html, "the search stays when a conversation is opened"
    found = page(ann_client, "/chat/?q=%26+a+%3Csail")
    assert "A boat" in found
    assert 'value="&amp; a &lt;sail"' in found
    nothing = page(ann_client, "/chat/?q=%25")
    assert "Nothing has “<bdi>%</bdi>” in it." in nothing
    assert 'href="/chat/">Show all</a>' in nothing


def test_rename_and_delete_lead_back(ann_client: Client, ask: Callable[..., Conversation]) -> None:
    here, other = ask(), ask()
    address = reverse("conversation", args=[here.pk])
    renamed = ann_client.post(
        reverse("conversation-rename", args=[other.pk]), {"title": "New name", "next": address}
    )
    assert (renamed.status_code, renamed["Location"]) == (302, address)
    assert Conversation.objects.get(pk=other.pk).title == "New name"
    deleted = ann_client.post(reverse("conversation-delete", args=[other.pk]), {"next": address})
    assert deleted["Location"] == address
    deleted = ann_client.post(reverse("conversation-delete", args=[here.pk]), {"next": f"{address}?q=a"})
    assert deleted["Location"] == "/chat/"
    assert not Conversation.objects.exists()


@pytest.mark.parametrize("form", ["conversation-rename", "conversation-delete"])
def test_a_form_that_met_a_log_in_leads_to_the_conversation(
    client: Client, ask: Callable[..., Conversation], form: str
) -> None:
    conversation = ask()
    asked = client.post(reverse(form, args=[conversation.pk]), {"title": "New"})
    client.force_login(conversation.user)
    back = client.get(parse_qs(urlsplit(asked["Location"]).query)["next"][0])
    assert back["Location"] == f"/chat/{conversation.pk}/"
    assert Conversation.objects.filter(pk=conversation.pk, title=conversation.title).exists()


@pytest.mark.parametrize("foreign", ["https://evil.test/", "//evil.test/", "javascript:alert(1)", ""])
def test_nobody_is_led_elsewhere(ann_client: Client, ask: Callable[..., Conversation], foreign: str) -> None:
    conversation = ask()
    address = reverse("conversation-rename", args=[conversation.pk])
    response = ann_client.post(address, {"title": "New", "next": foreign})
    assert response["Location"] == f"/chat/{conversation.pk}/"


def test_an_empty_title_is_explained(ann_client: Client, ask: Callable[..., Conversation]) -> None:
    conversation = ask("The old title")
    response = ann_client.post(
        reverse("conversation-rename", args=[conversation.pk]), {"title": " "}, follow=True
    )
    assert "A conversation needs a title." in response.content.decode()
    assert Conversation.objects.get().title == "The old title"


def chat_addresses(conversation: object) -> list[str]:
    """Every address of the chat that names a conversation, as the URL configuration has them."""
    names = [
        name
        for name, (_, pattern, _, _) in get_resolver().reverse_dict.items()
        if isinstance(name, str) and pattern.startswith("chat/") and "conversation_id" in pattern
    ]
    return [reverse(name, args=[conversation]) for name in names]


@pytest.mark.parametrize("method", ["get", "post"])
def test_what_is_somebody_else_s_is_not_found(
    client: Client, bob: User, ask: Callable[..., Conversation], method: str
) -> None:
    conversation = ask()
    client.force_login(bob)
    tried = 0
    for theirs, nobodys in zip(chat_addresses(conversation.pk), chat_addresses(uuid4()), strict=True):
        answers = [getattr(client, method)(address, {"title": "Mine"}) for address in (theirs, nobodys)]
        if answers[0].status_code != 405:
            tried += 1
            assert [answer.status_code for answer in answers] == [404, 404]
            assert answers[0].content == answers[1].content
    assert tried == {"get": 3, "post": 2}[method]
    assert Conversation.objects.get().title == "Hello"
    assert "Hello" not in page(client, "/chat/")


def test_strangers_are_sent_to_log_in(client: Client, ask: Callable[..., Conversation]) -> None:
    for address in ["/chat/", *chat_addresses(ask().pk)]:
        for method in (client.get, client.post):
            response = method(address)
            assert response.status_code == 302
            assert response["Location"].startswith("/login/")


def test_forms_need_their_token(ann: User, ask: Callable[..., Conversation]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ann)
    response = client.post(reverse("conversation-delete", args=[ask().pk]))
    assert response.status_code == 403
    assert "This form has expired" in response.content.decode()
    assert Conversation.objects.exists()


def test_the_page_asks_no_other_server_and_has_no_inline_code(
    ann_client: Client, ask: Callable[..., Conversation]
) -> None:
    html = page(ann_client, f"/chat/{ask().pk}/")
    assert re.search(r'(?:src|href|action)="(?:https?:)?//', html) is None
    assert re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=", html) is None


def test_errors_have_pages_of_their_own(ann_client: Client, client: Client) -> None:
    as_browser = {"Accept": "text/html,*/*"}
    assert "Nothing here" in ann_client.get("/nowhere/", headers=as_browser).content.decode()
    ann_client.raise_request_exception = False
    login = client.get("/login/").content.decode()
    assert "Started the server yourself?" in login


def test_the_admin_shows_what_was_said_to_nobody_without_the_permission(
    client: Client, ask: Callable[..., Conversation]
) -> None:
    conversation = ask("a secret question", "a secret answer")
    staff = User.objects.create_user("staff", is_staff=True)
    allowed = Permission.objects.filter(content_type__app_label="conversations")
    staff.user_permissions.set(allowed.exclude(codename="read_content"))
    client.force_login(staff)
    for address in (
        "/admin/conversations/conversation/",
        "/admin/conversations/message/",
        f"/admin/conversations/conversation/{conversation.pk}/change/",
        f"/admin/conversations/message/{conversation.active_leaf_id}/change/",
        f"/admin/conversations/conversation/{conversation.pk}/delete/",
    ):
        assert "secret" not in page(client, address)
