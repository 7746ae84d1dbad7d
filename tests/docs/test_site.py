"""The documentation's site: every page is in its navigation, every link leads somewhere, and it builds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import OTHERS, PAGES, ROOT
from website.check import faults
from website.paths import links, rewritten, target, uri
from website.sources import sources

CONFIGURATION = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
_FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_LINKED = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_OBJECT = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)


def named(node: Any) -> list[str]:
    """Pages of a part of the navigation."""
    if isinstance(node, str):
        return [node]
    return [page for part in (node.values() if isinstance(node, dict) else node) for page in named(part)]


def anchors(page: Path) -> set[str]:
    """What a page's headings are called in links to them."""
    if page.suffix != ".md":
        return set()
    headings = _HEADING.findall(_FENCED.sub("", page.read_text(encoding="utf-8")))
    plain = (re.sub(r"[^\w\s-]", "", _LINKED.sub(r"\1", heading)).strip().lower() for heading in headings)
    return {re.sub(r"\s", "-", heading) for heading in plain}


def test_every_page_is_in_the_navigation_once() -> None:
    listed = named(yaml.safe_load(CONFIGURATION)["nav"])
    assert sorted(listed) == sorted(set(listed))
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in PAGES if page != ROOT / "README.md"}
    assert {page for page in listed if not page.startswith("source/")} == pages
    assert {page for page in listed if page.startswith("source/")} <= sources().keys()


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    path = page.relative_to(ROOT).as_posix()
    for link in links(text):
        goal, anchor = ROOT / target(path, link[2]), link[3]
        # Anchors of the Python reference are made of docstrings: the build itself checks those.
        if anchor and goal.parent.name != "reference":
            assert anchor.removeprefix("#") in anchors(goal), link[0]
    for anchor in re.findall(r"\]\(#([^)]+)\)", _FENCED.sub("", text)):
        assert anchor in anchors(page), anchor


def test_what_the_python_reference_names_is_there() -> None:
    found = [name for page in PAGES for name in _OBJECT.findall(page.read_text(encoding="utf-8"))]
    assert len(found) > 10
    assert [name for name in found if find_spec(name) is None] == []


@pytest.mark.skipif(find_spec("mkdocs") is None, reason="the extra `docs` is not installed")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(faults(tmp_path / "site")) == []


def test_what_a_browser_would_miss_is_found(tmp_path: Path) -> None:
    page = '<a href="other.html#here"></a><a href="gone.html"></a><script src="https://cdn.example/a.js"></script>'
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    (tmp_path / "other.html").write_text('<p id="there"></p><a href="#there"></a>', encoding="utf-8")
    assert list(faults(tmp_path)) == [
        "index.html loads https://cdn.example/a.js",
        "index.html leads to other.html#here, which has no such place",
        "index.html leads to gone.html, which is not there",
    ]


def test_links_to_files_beside_the_docs_lead_to_their_pages() -> None:
    assert uri("docs/client.md") == "client.md"
    assert uri("Dockerfile") == "source/Dockerfile.md"
    assert uri("examples/judge") == "source/examples/judge/index.md"
    text = "[x](../../CHANGELOG.md#unreleased), [the text](https://example.org)\n```console\n[y](z)\n```\n"
    wanted = "[x](../source/CHANGELOG.md#unreleased), [the text](https://example.org)\n```bash\n[y](z)\n```\n"
    assert rewritten("docs/trainers/trl.md", text) == wanted


def test_a_link_that_is_called_like_its_file_is_called_by_its_title() -> None:
    assert rewritten("docs/client.md", "[concepts.md](concepts.md)") == "[Concepts](concepts.md)"


def test_a_link_to_nothing_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match=r"docs/client\.md links to nowhere\.md"):
        rewritten("docs/client.md", "[text](nowhere.md)")


@pytest.mark.skipif(find_spec("griffe") is None, reason="the extra `docs` is not installed")
def test_docstrings_are_read_as_markdown() -> None:
    from website.docstrings import mended

    assert mended("Like this::\n\n    x\n\nOr. ::\n\n    y\n\n::\n\n    z") == (
        "Like this:\n\n    x\n\nOr.\n\n    y\n\n\n\n    z"
    )
