"""Takes the pictures of the page that the documents show: `python -m website.screenshots`.

It serves the shipped judge with its page, judges examples in a real Chromium, and writes `docs/images/ui-*.png`. For
the tab *Runs* it needs a training run of an editor below `--runs`.
"""

from __future__ import annotations

import argparse
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, Page, expect, sync_playwright

from edit_rrm_client.local import local_service
from edit_rrm_service.ui.examples import EXAMPLES
from tests.ui.chromium import find_chromium
from tests.ui.page_actions import cards, open_page

IMAGES = Path(__file__).parents[1] / "docs" / "images"
_WIDTH, _HEIGHT = 1280, 860


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="Folder with a training run; without it there is no picture of Runs.")
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("--dark", action="store_true", help="The dark looks.")
    parser.add_argument("--width", type=int, default=_WIDTH)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    runs = () if arguments.runs is None else ("--ui-runs", str(arguments.runs))
    with (
        tempfile.TemporaryDirectory() as folder,
        local_service(("--engine", "vllm", "--ui", *runs), log=Path(folder) / "log") as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": arguments.width, "height": _HEIGHT}, color_scheme="dark" if arguments.dark else "light"
        )
        open_page(page, url)
        _judge(page)
        _save(page, arguments.out / "ui-judge.png")
        _compare(page)
        _save(page, arguments.out / "ui-compare.png")
        if runs:
            _runs(page)
            _save(page, arguments.out / "ui-runs.png")
        browser.close()


def _judge(page: Page) -> None:
    page.get_by_role("button", name=EXAMPLES[0].instruction).click()
    expect(cards(page)).to_have_count(len(EXAMPLES[0].edited))
    expect(page.locator(".rrm-chosen figure")).to_have_count(1 + len(EXAMPLES[0].edited))


def _compare(page: Page) -> None:
    page.get_by_role("tab", name="Compare judges").click()
    example = EXAMPLES[1]
    page.locator("#rrm-compare-source input[type=file]").set_input_files(example.source)
    page.locator("#rrm-compare-edit input[type=file]").set_input_files(example.edited[1])
    page.locator("#rrm-compare-instruction textarea").fill(example.instruction)
    page.locator("#rrm-compare").click()
    expect(page.locator("#rrm-compared table")).to_be_visible()


def _runs(page: Page) -> None:
    page.get_by_role("tab", name="Runs").click()
    table: Locator = page.locator("#rrm-table table")
    expect(table).to_be_visible()


def _save(page: Page, path: Path) -> None:
    page.evaluate("window.scrollTo(0, 0)")
    with Image.open(BytesIO(page.screenshot())) as shot:
        # Few colours suffice for a page, and keep the repository small.
        shot.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
