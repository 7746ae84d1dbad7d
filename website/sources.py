"""Files and folders beside docs/ that the site shows because its pages, or other such files, link to them."""

from __future__ import annotations

from pathlib import PurePosixPath
from posixpath import relpath

from website.paths import DOCS, ROOT, SOURCE, links, rewritten, target, uri

IN_THE_NAVIGATION = ("CHANGELOG.md", "helm/edit-rrm/README.md")
"""Files that are there whether anything links to them or not."""

_LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml", ".txt": "text"}
_UNINDEXED = "---\nsearch:\n  exclude: true\n---\n\n"


def sources() -> dict[str, str | bytes]:
    """Their content by where they are on the site."""
    waiting = [*IN_THE_NAVIGATION, *linked_from_docs()]
    found: dict[str, str | bytes] = {}
    while waiting:
        path = waiting.pop()
        if (place := uri(path)) in found or not place.startswith(f"{SOURCE}/"):
            continue
        if (ROOT / path).is_dir() and (ROOT / path / "README.md").exists():
            waiting.append(f"{path}/README.md")
        elif (ROOT / path).is_dir():
            files = shown(path)
            found[place] = listing(path, files)
            waiting += files
        elif path.endswith(".md"):
            text = (ROOT / path).read_text(encoding="utf-8")
            found[place] = rewritten(path, text)
            waiting += [target(path, link[2]) for link in links(text)]
        elif place.endswith(".md"):
            found[place] = listed(path)
        else:
            found[place] = (ROOT / path).read_bytes()
    return found


def linked_from_docs() -> list[str]:
    """Targets of the links of every page below docs/."""
    pages = sorted((ROOT / DOCS).rglob("*.md"))
    texts = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in pages}
    return [target(path, link[2]) for path, text in texts.items() for link in links(text)]


def shown(folder: str) -> list[str]:
    """Files of a folder and its folders, without what Python leaves behind."""
    files = (path for path in sorted((ROOT / folder).rglob("*")) if path.is_file() and path.suffix != ".pyc")
    return [path.relative_to(ROOT).as_posix() for path in files]


def listing(folder: str, files: list[str]) -> str:
    """A page with links to a folder's files."""
    here = PurePosixPath(uri(folder)).parent
    lines = [f"- [{relpath(file, folder)}]({relpath(uri(file), here)})" for file in files]
    return "\n".join([f"{_UNINDEXED}# {folder}/", "", *lines, ""])


def listed(path: str) -> str:
    """A page with a file in it."""
    file = ROOT / path
    text = file.read_text(encoding="utf-8")
    fence = "`" * 3
    while fence in text:
        fence += "`"
    language = _LANGUAGES.get(file.suffix, "dockerfile" if file.name == "Dockerfile" else "text")
    return f"{_UNINDEXED}# {path}\n\n{fence}{language}\n{text.rstrip()}\n{fence}\n"
