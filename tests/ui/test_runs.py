"""The tab *Runs* in a real Chromium, on a folder of runs."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from tests.client.fake_service import judgement
from tests.service.ui.test_runs import pair, sample
from tests.ui.page_actions import open_page
from tests.ui.services import page_service


def test_runs(page: Page, tmp_path: Path) -> None:
    pictures = tmp_path / "kontext" / "pictures"
    (pictures / "sources").mkdir(parents=True)
    Image.new("RGB", (32, 32), "red").save(pictures / "sources" / "000.webp")
    for step, rewards in ((0, [0.5] * 14), (40, [0.2, None] + [0.9] * 12)):
        rows = [
            sample(f"p{at}", reward, source="sources/000.webp", picture="sources/000.webp")
            for at, reward in enumerate(rewards)
        ]
        (pictures / f"step-{step:06d}.json").write_text(json.dumps(rows))
    (tmp_path / "evaluation").mkdir()
    lines = [pair("right", instruction="one"), pair("wrong", instruction="two"), pair("unscored", instruction="three")]
    (tmp_path / "evaluation" / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with page_service(lambda _: judgement(7.0), ui_runs=tmp_path) as (url, _):
        open_page(page, url)
        page.get_by_role("tab", name="Runs").click()
        table = page.locator("#rrm-table")
        page.locator("#rrm-run input").fill("kontext")
        page.locator("#rrm-run input").press("Enter")
        expect(table).to_contain_text("after step 40")
        expect(table.locator("tbody tr")).to_have_count(12)
        expect(table.locator("tbody tr").first.locator("img")).to_have_count(3)
        page.locator("#rrm-page input").fill("2")
        page.locator("#rrm-page input").press("Enter")
        expect(table.locator("tbody tr")).to_have_count(2)
        page.get_by_label("disagreements").check()
        expect(page.locator(".rrm-told").filter(has_text="1 of 14 rows")).to_be_visible()
        page.get_by_label("failures").check()
        expect(page.locator(".rrm-told").filter(has_text="1 of 14 rows")).to_be_visible()
        page.locator("#rrm-run input").fill("evaluation")
        page.locator("#rrm-run input").press("Enter")
        expect(table.locator("tbody tr")).to_have_count(1)
        expect(table).to_contain_text("three")
        page.get_by_label("disagreements").check()
        expect(table).to_contain_text("two")
        expect(table).to_contain_text("the judge disagrees")


def test_without_a_folder_it_says_how_to_name_one(page: Page) -> None:
    with page_service(lambda _: judgement(7.0)) as (url, _):
        open_page(page, url)
        page.get_by_role("tab", name="Runs").click()
        expect(page.get_by_text("edit-rrm serve --ui-runs FOLDER")).to_be_visible()
