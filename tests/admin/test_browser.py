"""The admin in a real browser under its real policy: nothing is blocked, nothing fails, an alias answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.chromium import PHONE, in_browser
from tests.serving import MODEL, Server, engine_thread, fill_home, run_python

FILL = f"""
import django; django.setup()
from django.contrib.auth.models import User
from aliases.models import Alias
from inference.keys.services import key_create
from inference.usage.services import usage_write
from tests.inference.usage.conftest import measured
boss = User.objects.create_superuser("owner")
key_create(user=boss, name="laptop")
Alias.objects.create(name="echo", model={MODEL!r})
usage_write([measured(back=back) for back in range(40)])
"""
PAGES = (
    *("", "aliases/alias/", "aliases/alias/1/change/", "aliases/alias/add/?from=1", "aliases/alias/import/"),
    *("inference/modelrecord/", "keys/apikey/", "keys/apikey/add/", "usage/usageday/", "usage/usagerecord/"),
    *("inference/modelrecord/1/change/", "inference/modelrecord/1/delete/", "inference/modelrecord/pull/"),
    *("inference/providerconfig/", "inference/providerconfig/1/change/", "auth/user/1/change/"),
    *("conversations/conversation/", "auth/user/", "auth/user/add/", "auth/group/1/change/"),
)

pytestmark = in_browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("admin")
    fill_home(folder / "home")
    run_python(FILL, folder / "home")
    with engine_thread(folder / "e.sock") as engine, Server(folder / "home", engine=engine) as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: Browser, server: Server) -> Page:
    page = browser.new_page()
    page.goto(server.login_address)
    return page


@pytest.mark.parametrize("path", PAGES)
def test_no_page_is_blocked_or_fails_and_all_fit_a_phone(server: Server, page: Page, path: str) -> None:
    problems: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error" and "favicon" not in message.location["url"]:
            problems.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.set_viewport_size(PHONE)
    answer = page.goto(f"{server.url}/admin/{path}")
    page.wait_for_load_state("networkidle")
    page.remove_listener("console", hear)
    assert answer and answer.status == 200
    assert problems == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_an_alias_is_tried_where_it_is_made(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/admin/aliases/alias/1/change/")
    box = page.get_by_role("region", name="Try it")
    box.get_by_label("Prompt").fill("hello there")
    box.get_by_role("button", name="Ask").click()
    expect(box.locator("output")).to_have_text("hello there ")
    expect(box.get_by_role("button", name="Ask")).to_be_enabled()


def test_the_dashboard_draws_its_bars(server: Server, page: Page, tmp_path: Path) -> None:
    page.goto(f"{server.url}/admin/?days=90")
    bars = page.locator("figure").first.locator("rect")
    expect(bars).to_have_count(40)
    box = bars.last.bounding_box()
    assert box and box["height"] > 50
    assert bars.last.evaluate("bar => getComputedStyle(bar).fill") != "rgb(0, 0, 0)"
