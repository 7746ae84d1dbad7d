"""Every trainer has its page, and what the pages have a trainer's configuration say is what its adapter says."""

from __future__ import annotations

import ast
import re
from importlib.util import find_spec

import pytest
import yaml

from tests.docs.pages import ROOT, Block, blocks

FOLDER = ROOT / "docs" / "trainers"
PAGES = sorted(FOLDER.glob("*.md"))
ADAPTERS = ROOT / "client" / "edit_rrm_client" / "adapters"
EXAMPLES = ROOT / "examples" / "trainers"
CONFIGURATION = blocks("text", "yaml", pages=PAGES)
DOCSTRINGS = "\n".join(
    ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    for folder in (ADAPTERS, EXAMPLES)
    for path in sorted(folder.glob("*.py"))
)


@pytest.mark.parametrize("block", CONFIGURATION, ids=lambda block: block.page)
def test_configuration_is_what_the_adapter_or_the_program_says(block: Block) -> None:
    said = {line.strip() for line in DOCSTRINGS.splitlines()}
    assert [line for line in block.text.splitlines() if line.strip() and line.strip() not in said] == []


def test_what_trainers_import_is_there() -> None:
    named = re.findall(r"pkg://([\w.]+)", "".join(block.text for block in CONFIGURATION))
    rewards = [one for block in blocks("yaml", pages=PAGES) for one in yaml.safe_load(block.text)["rewards"]]
    assert {"name", "reward_model", "url"} <= rewards[0].keys()
    modules = {*named, *(one["reward_model"].rpartition(".")[0] for one in rewards)}
    assert len(modules) == 3
    assert [module for module in modules if find_spec(module) is None] == []


def test_the_overview_has_every_trainer_and_every_program_has_a_page() -> None:
    overview = (FOLDER / "index.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| \[[^\]]+\]\(([\w-]+\.md)\)", overview, re.MULTILINE)) == {
        page.name for page in PAGES if page.name != "index.md"
    }
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert set(re.findall(r"\(\.\./\.\./examples/trainers/(\w+\.py)\)", text)) == {
        program.name for program in EXAMPLES.glob("*.py")
    }
