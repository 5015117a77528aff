"""Pulling in a real browser, in the admin and beside the chat: progress, a reload, a cancel, an error."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from inference.protocol import LoadedModel
from tests.chromium import PHONE, in_browser
from tests.inference.store.stub_hub import Repo, StubHub, grown
from tests.serving import MODEL, Server, engine_thread, fill_home, run_python

FILL = """
import django; django.setup()
from django.contrib.auth.models import User
User.objects.create_superuser("owner")
"""
ADMIN, CHAT = "/admin/inference/modelrecord/pull/", "/models/"

pytestmark = in_browser


@pytest.fixture(scope="module")
def server(hub: StubHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("pulling")
    fill_home(folder / "home")
    run_python(FILL, folder / "home")
    env = {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "0", "RETRY_DELAY_MS": "20"}
    with (
        engine_thread(folder / "e.sock") as engine,
        Server(folder / "home", engine=engine, env=env) as running,
    ):
        engine.models = (
            LoadedModel(
                name=MODEL,
                state="ready",
                device="cpu",
                size=10**9,
                context_length=2048,
                expires_in=60.0,
                active=11,
                places=8,
            ),
        )
        yield running


@pytest.fixture(scope="module")
def login(browser: Browser, server: Server) -> dict[str, object]:
    context = browser.new_context()
    context.new_page().goto(server.login_address)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def page(browser: Browser, login: dict[str, object], server: Server) -> Iterator[Page]:
    """A page on a phone that must not complain."""
    context = browser.new_context(storage_state=login, viewport=PHONE, base_url=server.url)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    context.close()
    assert wrong == []


@pytest.fixture
def name(request: pytest.FixtureRequest, hub: StubHub, repo: Repo) -> str:
    """A model of this test's own on the Hub, whose weights stop half-way until the gate is opened."""
    hub.gate = threading.Event()
    # The addresses of the page have only some characters.
    name = f"org/m{len(hub.repos)}"
    hub.repos[name] = grown(repo, 2**20 + len(hub.repos))
    return name


def begin(page: Page, address: str, name: str) -> None:
    page.goto(address)
    page.get_by_label("Model", exact=True).fill(name)
    page.get_by_role("button", name="Pull", exact=True).first.click()


@pytest.mark.parametrize("address", [ADMIN, CHAT])
def test_a_pull_is_seen_goes_on_over_a_reload_and_ends(
    page: Page, hub: StubHub, name: str, address: str
) -> None:
    begin(page, address, name)
    card = page.get_by_role("article", name=name)
    bar = card.get_by_role("progressbar", name="model.safetensors")
    expect(card.get_by_role("progressbar", name="All files")).to_be_visible()
    size = len(hub.repos[name].files["model.safetensors"])
    expect(bar).to_have_js_property("max", size)
    expect(bar).to_have_js_property("value", size // 2)
    expect(card).to_contain_text(" of 1.09 MB")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.goto("about:blank")
    page.goto(address)
    expect(bar).to_be_visible()
    assert hub.gate
    hub.gate.set()
    expect(card.get_by_role("status")).to_contain_text(f"{name} is on this machine")
    card.get_by_role("button", name="Dismiss").click()
    expect(card).to_have_count(0)


def test_a_cancel_ends_it_and_the_next_pull_goes_on(page: Page, hub: StubHub, name: str) -> None:
    begin(page, CHAT, name)
    card = page.get_by_role("article", name=name)
    card.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("What has arrived is kept")).to_be_visible()
    expect(card).to_have_count(0)
    assert hub.gate
    hub.gate.set()
    begin(page, CHAT, name)
    expect(card.get_by_role("status")).to_contain_text("is on this machine")


def test_what_cannot_be_pulled_says_what_to_do(page: Page) -> None:
    begin(page, ADMIN, "nonsense")
    expect(page.get_by_text("Write its name as org/name.")).to_be_visible()
    begin(page, CHAT, "org/nowhere")
    card = page.get_by_role("article", name="org/nowhere")
    expect(card.get_by_role("alert")).to_contain_text("no model")
    expect(card.get_by_role("button", name="Try again")).to_be_visible()


def test_the_picker_has_what_came_while_nobody_looked(page: Page, hub: StubHub, name: str) -> None:
    """The page of the models was opened beside the chat."""
    page.goto("/chat/")
    picker = page.locator("#model")
    expect(picker.locator("option")).not_to_contain_text([name])
    expect(picker.locator("option").first).to_contain_text("fits")
    page.get_by_label("Message").fill("a draft")
    assert hub.gate
    hub.gate.set()
    other = page.context.new_page()
    begin(other, CHAT, name)
    expect(other.get_by_text(f"{name} is on this machine")).to_be_visible()
    other.close()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    picker.select_option(name)
    expect(page.get_by_role("button", name="Send")).to_be_enabled()


def test_the_chat_leads_managers_to_the_models(page: Page) -> None:
    page.goto("/chat/")
    page.get_by_role("link", name="Get models").click()
    expect(page.get_by_role("heading", name="Well-known models")).to_be_visible()
    starter = page.get_by_role("listitem").filter(has_text="the starter model")
    expect(starter).to_contain_text("fits: needs 0.3 GB")


def test_a_provider_is_tried_and_switched_off(page: Page) -> None:
    page.goto("/admin/inference/providerconfig/")
    expect(page.get_by_text("1 model in memory")).to_be_visible()
    page.get_by_role("link", name="huggingface").click()
    box = page.get_by_role("region", name="Test")
    box.get_by_role("button", name="Test").click()
    expect(box.get_by_role("status")).to_contain_text("name one thing")
    expect(box.get_by_role("status")).to_contain_text("tokens/s")


def test_the_dashboard_says_who_waits(page: Page) -> None:
    page.goto("/admin/")
    expect(page.get_by_text("8 running")).to_be_visible()
    expect(page.get_by_role("row", name=f"{MODEL} 8 3 for a place 8")).to_be_visible()
    expect(page.get_by_text("pictures 0 bytes")).to_be_visible()
