"""What goes wrong is said on the page in the service's own words: keys, dead engines, services that are not there."""

from __future__ import annotations

import time
from pathlib import Path

from playwright.sync_api import Page, expect

from edit_rrm_service.auth import hash_key
from edit_rrm_service.ui.examples import EXAMPLES
from tests.client.fake_service import judgement
from tests.fakes.service_process import fake_service
from tests.ui.page_actions import cards, judge, open_page
from tests.ui.services import page_service

KEY = "a key of ours"


def test_an_api_key_opens_the_page_and_is_sent_along(page: Page) -> None:
    page.expected_errors = ("401",)  # type: ignore[attr-defined]  # read by the fixture
    with page_service(lambda _: judgement(7.0), api_key_hashes=(hash_key(KEY),)) as (url, _):
        page.goto(f"{url}/ui/")
        page.get_by_label("API key").fill("another")
        page.get_by_role("button", name="Open the page").click()
        expect(page.get_by_role("alert")).to_have_text("That is no key of this service.")
        page.get_by_label("API key").fill(KEY)
        page.keyboard.press("Enter")
        expect(page.locator("#rrm-head strong")).to_contain_text("scripted")
        page.get_by_role("button", name=EXAMPLES[0].instruction).click()
        expect(cards(page)).to_have_count(3)
        page.get_by_role("button", name="The same request elsewhere").click()
        expect(page.locator("#rrm-curl")).to_contain_text("Bearer $EDIT_RRM_API_KEY")
        assert KEY not in page.content()
        page.get_by_role("button", name="Forget my key").click()
        expect(page.get_by_label("API key")).to_be_visible()


def test_a_dead_engine_is_said(page: Page) -> None:
    with page_service(lambda _: judgement(7.0)) as (url, engine):
        open_page(page, url)
        page.get_by_role("button", name=EXAMPLES[0].instruction).click()
        expect(cards(page)).to_have_count(3)
        engine.dead = True
        expect(page.get_by_role("button", name="Judge", exact=True)).to_be_visible()
        alert = page.get_by_role("alert").first
        for _ in range(40):
            judge(page)
            page.wait_for_timeout(100)
            if alert.is_visible():
                break
        expect(alert).to_contain_text("the engine's process has ended")
        expect(cards(page)).to_have_count(0)


def test_what_the_judge_writes_is_shown_as_text(page: Page) -> None:
    text = "<img src=x onerror=alert(1)> ${1+1} {{1+1}} {1+1}"
    attack = judgement(7.0).replace("was red", text)
    with page_service(lambda _: attack) as (url, _):
        open_page(page, url)
        page.get_by_role("button", name=EXAMPLES[0].instruction).click()
        expect(cards(page)).to_have_count(3)
        assert page.locator("#rrm-result img[src=x]").count() == 0
        expect(cards(page).first).to_contain_text(text)


def test_stop_gives_up(page: Page, tmp_path: Path) -> None:
    with fake_service(tmp_path / "log", seconds=30.0, ui="true", drain_delay_ms=0) as service:
        open_page(page, service.url)
        page.get_by_role("button", name=EXAMPLES[0].instruction).click()
        expect(page.locator("#rrm-result [role=status]")).to_have_text("The judge looks at it.")
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("#rrm-result")).to_contain_text("Nothing has been judged yet")
        # Down to the engine: otherwise the service would wait for it.
        began = time.monotonic()
        service.signal()
        page.expected_errors = ("ERR_", "Connection", "error", "Error")  # type: ignore[attr-defined]  # read by the fixture
        assert service.wait() == 0
        assert time.monotonic() - began < 10.0


def test_comparing_with_another_service_and_with_one_that_is_not_there(page: Page) -> None:
    with (
        page_service(lambda _: judgement(7.0)) as (other, _),
        page_service(lambda _: judgement(3.0, (False, True)), ui_judges=f"{other},http://127.0.0.1:9") as (url, _),
    ):
        open_page(page, url)
        page.get_by_role("tab", name="Compare judges").click()
        example = EXAMPLES[0]
        page.locator("#rrm-compare-source input[type=file]").set_input_files(example.source)
        page.locator("#rrm-compare-edit input[type=file]").set_input_files(example.edited[0])
        page.locator("#rrm-compare-instruction textarea").fill(example.instruction)
        page.locator("#rrm-compare").click()
        compared = page.locator("#rrm-compared")
        expect(compared).to_contain_text("scores differ by 4; 1 of 2 verdicts differ")
        expect(compared.locator(".rrm-differs")).to_have_count(1)
        expect(compared.locator(".rrm-differs")).to_contain_text("Is the star blue?")
        right = page.locator("#rrm-right input")
        right.fill("http://127.0.0.1:9 · think")
        right.press("Enter")
        page.locator("#rrm-compare").click()
        expect(compared.get_by_role("alert")).to_contain_text("http://127.0.0.1:9")
        expect(compared).to_contain_text("not scored")


def test_an_open_page_does_not_keep_a_service_from_ending(page: Page, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with fake_service(log, ui="true", drain_delay_ms=0) as service:
        open_page(page, service.url)
        page.get_by_role("button", name=EXAMPLES[0].instruction).click()
        expect(cards(page)).to_have_count(3)
        page.expected_errors = ("ERR_", "Connection", "error", "Error")  # type: ignore[attr-defined]  # read by the fixture
        began = time.monotonic()
        service.signal()
        assert service.wait() == 0
        assert time.monotonic() - began < 4.0
    assert "Traceback" not in log.read_text()
