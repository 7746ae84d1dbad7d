"""What people do on the page."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Locator, Page, expect


def open_page(page: Page, url: str) -> None:
    """Open the page and wait until it says who judges."""
    page.goto(f"{url}/ui/")
    expect(page.locator("#rrm-head strong")).not_to_be_empty()


def choose(page: Page, source: Path, edits: list[Path], instruction: str) -> None:
    """Fill in what is to be judged, and wait until the pictures are there."""
    page.locator("#rrm-source input[type=file]").set_input_files(source)
    page.locator("#rrm-edits input[type=file]").set_input_files(edits)
    expect(page.locator(".rrm-chosen figure")).to_have_count(1 + len(edits))
    page.locator("#rrm-instruction textarea").fill(instruction)


def judge(page: Page) -> None:
    """Press the button."""
    page.get_by_role("button", name="Judge", exact=True).click()


def cards(page: Page) -> Locator:
    """Judged edits, from the best to the worst."""
    return page.locator("#rrm-result .rrm-card")


def heads(page: Page) -> list[str]:
    """Their names, with their places."""
    return page.locator("#rrm-result .rrm-card h3").all_inner_texts()
