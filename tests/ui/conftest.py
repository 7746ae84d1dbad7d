"""A real browser for all tests of the page, and a fresh profile of it for every test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.ui.chromium import find_chromium


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a browser; `make ui-test` makes sure that there is one."""
    for item in items:
        if "tests/ui/" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)
            if find_chromium() is None:
                item.add_marker(pytest.mark.skip(reason="this machine has no Chromium; `make ui-test` installs it"))


# A machine that does other things besides needs more than the usual five seconds.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this folder; while it is there, no other event loop can run in this thread."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def options() -> dict[str, Any]:
    """Of the browser's context; a test's module or parameter may have others."""
    return {"viewport": {"width": 1280, "height": 900}}


def _an_error(message: ConsoleMessage) -> bool:
    """Whether the page's own code complains; what could not be loaded is listed by its address."""
    return message.type == "error" and not message.text.startswith("Failed to load resource")


@pytest.fixture
def page(browser: Browser, options: dict[str, Any]) -> Iterator[Page]:
    """A page that fails the test for an error on its console, or a request to any other machine."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(20_000)
    said: list[str] = []
    asked: set[str] = set()
    page.on("console", lambda message: said.append(message.text) if _an_error(message) else None)
    page.on("response", lambda reply: said.append(f"{reply.status} {reply.url}") if reply.status >= 400 else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.add(request.url.split("/")[2]) if request.url.startswith("http") else None)
    yield page
    context.close()
    assert not {host for host in asked if not host.startswith("127.0.0.1:")}, "the page asks other machines"
    expected = getattr(page, "expected_errors", ())
    assert [line for line in said if not any(piece in line for piece in expected)] == []
