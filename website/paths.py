"""Where files of the repository are on the site. Pure but for looking at the disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

ROOT = Path(__file__).parents[1]
DOCS = "docs"
SOURCE = "source"
"""Folder of the site for files beside docs/."""
LARGEST_PAGE = 30_000
"""Bytes of a file that becomes a page; larger ones are copied as they are."""

_CONSOLE = re.compile(r"^```console$", re.MULTILINE)
_FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1[`~]*[ ]*$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[((?:[^\[\]]|\n)*)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")


def links(markdown: str) -> Iterator[re.Match[str]]:
    """Links to other files that are not in fenced code: the groups are text, path and anchor."""
    fences = [found.span() for found in _FENCE.finditer(markdown)]
    for found in _LINK.finditer(markdown):
        if not any(start <= found.start() < end for start, end in fences):
            yield found


def target(path: str, link: str) -> str:
    """What a link of the file at `path` leads to; both are relative to the repository.

    Raises:
        FileNotFoundError: Nothing.
    """
    found = normpath(str(PurePosixPath(path).parent / link))
    if found.startswith("..") or not (ROOT / found).exists():
        raise FileNotFoundError(f"{path} links to {link}, which is not there")
    return found


def uri(path: str) -> str:
    """Where a file or folder of the repository is on the site, as MkDocs counts: a page is a `.md`."""
    file = ROOT / path
    if file.is_dir():
        return f"{SOURCE}/{path}/{'README.md' if (file / 'README.md').exists() else 'index.md'}"
    if path.startswith(f"{DOCS}/"):
        return path.removeprefix(f"{DOCS}/")
    if path.endswith(".md"):
        return f"{SOURCE}/{path}"
    return f"{SOURCE}/{path}.md" if is_page(path) else f"{SOURCE}/{path}"


def is_page(path: str) -> bool:
    """Whether a file beside docs/ is shown as a page: text that one can read."""
    content = (ROOT / path).read_bytes()
    return len(content) <= LARGEST_PAGE and b"\0" not in content


def rewritten(path: str, markdown: str) -> str:
    """A Markdown file of the repository with links that hold on the site.

    A link that is called like its file, which is what one wants to read in a repository, is called by the page's title;
    and commands are coloured as such, not as what a terminal shows.
    """
    here = PurePosixPath(uri(path)).parent
    pieces, end = [], 0
    for found in links(markdown):
        goal = target(path, found[2])
        pieces += [markdown[end : found.start()], f"[{title(goal) if found[1] == found[2] else found[1]}]("]
        pieces += [relpath(uri(goal), here), found[3] or "", ")"]
        end = found.end()
    return _CONSOLE.sub("```bash", "".join([*pieces, markdown[end:]]))


def title(path: str) -> str:
    """What the first line of a Markdown file calls it; other files are called by their path."""
    if not path.endswith(".md"):
        return path
    with (ROOT / path).open(encoding="utf-8") as file:
        return file.readline().removeprefix("# ").strip()
