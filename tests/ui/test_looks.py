"""The page on a phone's width, in light and in dark."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.ui.page_actions import cards, open_page

pytestmark = pytest.mark.vllm

_CONTRAST = """selector => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const linear = v => v / 255 <= .03928 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const background = one => {
    const found = rgb(getComputedStyle(one).backgroundColor);
    return found[3] === 0 && one.parentElement ? background(one.parentElement) : found;
  };
  const shown = [...document.querySelectorAll(selector)].filter(one => one.offsetParent && one.innerText.trim());
  return shown.map(one => {
    const [a, b] = [light(rgb(getComputedStyle(one).color)), light(background(one))].sort((x, y) => y - x);
    return [(a + .05) / (b + .05), one.innerText.slice(0, 40)];
  }).filter(([ratio]) => ratio < 4.5);
}"""


@pytest.fixture(params=["phone, light", "phone, dark", "desk, dark"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    size, scheme = request.param.split(", ")
    viewport = {"width": 360, "height": 740} if size == "phone" else {"width": 1280, "height": 900}
    return {"viewport": viewport, "color_scheme": scheme}


def test_it_fits_and_can_be_read(page: Page, service: str, options: dict[str, Any]) -> None:
    open_page(page, service)
    page.get_by_role("button", name="make the red star blue").click()
    expect(cards(page)).to_have_count(3)
    width = options["viewport"]["width"]
    for tab in ("Judge", "Compare judges", "Runs"):
        if page.get_by_role("tab", name=tab, exact=True).is_visible():
            page.get_by_role("tab", name=tab, exact=True).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("tab", name="Judge", exact=True).click()
    for card in cards(page).all():
        box = card.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    # WCAG 2.1 AA: text and what is behind it differ by at least 4.5 to 1.
    readable = ".rrm-card h3, .rrm-card h4, .rrm-card li, .rrm-mark, .rrm-told, .rrm-head p, .rrm-score, .rrm-why"
    assert page.evaluate(_CONTRAST, readable) == []
