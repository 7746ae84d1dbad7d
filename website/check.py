"""What a browser would miss on the built site: `python -m website.check FOLDER` fails where there is any.

MkDocs checks the links it knows. This reads the pages that came out of it: every link and every picture leads to a file
that is there, every anchor to a place on its page, and nothing is loaded from anywhere else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from posixpath import normpath
from urllib.parse import unquote, urlsplit

_LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


@dataclass
class Found(HTMLParser):
    """What is on a page."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element is called, and where it leads."""
        given = {name: value for name, value in attrs if value}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif (where := given.get(_LOADED.get(tag, ""))) and given.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(where)


def faults(site: Path) -> Iterator[str]:
    """What is wrong, a line each."""
    pages = {path.relative_to(site).as_posix(): read(path) for path in sorted(site.rglob("*.html"))}
    for name, page in pages.items():
        if name == "404.html":  # its links begin at the server's root
            continue
        for link in page.loaded:
            if urlsplit(link).netloc:
                yield f"{name} loads {link}"
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            goal = normpath(str(Path(name).parent / unquote(parts.path))) if parts.path else name
            if not (site / goal).exists():
                yield f"{name} leads to {link}, which is not there"
            elif parts.fragment and goal in pages and unquote(parts.fragment) not in pages[goal].anchors:
                yield f"{name} leads to {link}, which has no such place"


def read(path: Path) -> Found:
    """A page, parsed."""
    page = Found()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def main() -> None:
    """Check a site."""
    site = Path(sys.argv[1])
    found = sorted(set(faults(site)))
    print("\n".join(found) or f"{sum(1 for _ in site.rglob('*.html'))} pages, and every link leads somewhere")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
