"""The tab *Judge* in a real Chromium, on the shipped judge."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from edit_rrm_service.ui.examples import EXAMPLES
from tests.ui.page_actions import cards, choose, heads, judge, open_page

pytestmark = pytest.mark.vllm


def test_an_example(page: Page, service: str) -> None:
    open_page(page, service)
    expect(page.locator("#rrm-head")).to_contain_text("shapes world")
    page.get_by_role("button", name="make the red star blue").click()
    expect(cards(page)).to_have_count(3)
    assert heads(page) == ["#1 good.png", "#2 collateral.png", "#3 untouched.png"]
    first = cards(page).first
    expect(first).to_contain_text("Follows the instruction")
    expect(first.locator(".rrm-yes").first).to_be_visible()
    expect(first.locator("img")).to_have_count(2)
    expect(cards(page).last.locator(".rrm-no").first).to_be_visible()
    expect(page.locator("#rrm-result")).to_contain_text("3 of 3 edits scored")
    # What was judged can be asked again elsewhere.
    page.get_by_role("button", name="The same request elsewhere").click()
    expect(page.locator("#rrm-curl")).to_contain_text(f"{service}/v1/rewards")
    expect(page.locator("#rrm-code")).to_contain_text("RewardClient")


def test_every_example_is_judged_in_the_right_order(page: Page, service: str) -> None:
    open_page(page, service)
    for example in EXAMPLES:
        page.get_by_role("button", name=example.instruction).click()
        expect(page.locator("#rrm-result h2")).to_have_text(example.instruction)
        expect(cards(page)).to_have_count(3)
        assert heads(page)[0] == f"#1 {example.edited[0].name}"


def test_uploads_one_of_them_no_picture(page: Page, service: str, tmp_path: Path) -> None:
    notes = tmp_path / "notes.png"
    notes.write_text("this is not a picture")
    example = EXAMPLES[0]
    open_page(page, service)
    choose(page, example.source, [example.edited[2], notes, example.edited[0]], example.instruction)
    judge(page)
    expect(cards(page)).to_have_count(3)
    assert heads(page) == ["#1 good.png", "#2 untouched.png", "notes.png"]
    bad = cards(page).last
    expect(bad).to_contain_text("not scored: bad_image")
    expect(bad.get_by_role("alert")).to_contain_text("not an image of an accepted format; send a PNG, JPEG, WebP")
    expect(page.locator("#rrm-result")).to_contain_text("2 of 3 edits scored")


def test_one_edit_in_mode_probe_has_probabilities_and_no_rank(page: Page, service: str) -> None:
    example = EXAMPLES[0]
    open_page(page, service)
    choose(page, example.source, [example.edited[0]], example.instruction)
    page.get_by_label("probe: a probability each").check()
    judge(page)
    expect(cards(page)).to_have_count(1)
    assert heads(page) == ["good.png"]
    expect(cards(page)).to_contain_text("% yes")
    expect(cards(page)).to_contain_text("probe · geometric")


def test_principles_are_edited_and_judged_again(page: Page, service: str) -> None:
    example = EXAMPLES[0]
    open_page(page, service)
    page.get_by_role("button", name=example.instruction).click()
    expect(cards(page)).to_have_count(3)
    page.get_by_role("button", name="Edit these principles").click()
    box = page.locator("#rrm-principles textarea")
    page.get_by_role("button", name="Principles, samples and aggregation").click()
    expect(box).not_to_have_value("")
    lines = box.input_value().splitlines()
    assert lines[0].startswith("follow: ")
    box.fill(lines[0])
    page.get_by_label("probe: a probability each").check()
    judge(page)
    expect(cards(page).first.locator("li")).to_have_count(1)
    box.fill("is it nice?")
    judge(page)
    expect(page.get_by_role("alert")).to_contain_text("line 1 of the principles begins with none of follow, keep")


def test_what_is_missing_is_said(page: Page, service: str) -> None:
    open_page(page, service)
    example = EXAMPLES[0]
    alert = page.get_by_role("alert")
    judge(page)
    expect(alert).to_contain_text("there is no source image yet")
    choose(page, example.source, [example.edited[0]], "")
    judge(page)
    expect(alert).to_contain_text("there is no instruction yet")


def test_by_the_keyboard_alone(page: Page, service: str) -> None:
    open_page(page, service)

    def tab_to(name: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "(document.activeElement.innerText || document.activeElement.ariaLabel || '').trim()"
            )
            if name in focused:
                return
        pytest.fail(f"Tab does not reach {name}")

    tab_to("make the red star blue")
    page.keyboard.press("Enter")
    expect(cards(page)).to_have_count(3)
    tab_to("swipe between good.png and the source")
    shown = "getComputedStyle(document.querySelector('.rrm-after')).clipPath"
    before = page.evaluate(shown)
    page.keyboard.press("End")
    assert page.evaluate(shown) != before
    assert "100%" in page.evaluate(shown)
    tab_to("The judge's reasoning")
    page.keyboard.press("Enter")
    expect(cards(page).first.locator("pre")).to_be_visible()


def test_nothing_is_kept_in_the_browser(page: Page, service: str) -> None:
    open_page(page, service)
    page.get_by_role("button", name="make the red star blue").click()
    expect(cards(page)).to_have_count(3)
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert "star" not in stored
    assert page.evaluate("indexedDB.databases().then(all => all.length)") == 0
