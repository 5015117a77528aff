"""The page of the description in a real browser, under the strict policy of every page."""

from __future__ import annotations

from playwright.sync_api import Browser, Request, expect

from tests.api.rest.conftest import People
from tests.chromium import in_browser

pytestmark = in_browser


def test_the_page_works_under_our_policy_and_asks_nobody_else(browser: Browser, people: People) -> None:
    url, problems, asked = people.stage.server.url, [], []
    page = browser.new_page()
    # The page is drawn whole from a description of all routes, on a busy machine in half a minute.
    page.set_default_timeout(180_000)
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    page.goto(f"{url}/rest/docs/")
    assert "/login/" in page.url
    page.goto(people.stage.server.login_address)
    answer = page.goto(f"{url}/rest/docs/")
    assert answer
    assert "unsafe" not in answer.headers["content-security-policy"]
    listing = page.locator("#operations-aliases-aliases_list")
    listing.get_by_role("button").first.click()
    listing.get_by_role("button", name="Try it out").click()
    listing.get_by_role("button", name="Execute").click()
    status = listing.locator(".live-responses-table .response .response-col_status").first
    expect(status).to_contain_text("200")
    assert problems == []
    assert all(each.startswith((url, "data:", "blob:")) for each in asked)
