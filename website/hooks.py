"""MkDocs' hooks: files beside docs/ that pages link to become pages too."""

from __future__ import annotations

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from website.paths import DOCS, SOURCE, rewritten
from website.sources import sources


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what pages link to."""
    for uri, content in sources().items():
        files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    uri = page.file.src_uri
    return markdown if uri.startswith(f"{SOURCE}/") else rewritten(f"{DOCS}/{uri}", markdown)
