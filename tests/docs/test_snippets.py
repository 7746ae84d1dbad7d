"""What the documents show is run: Python blocks, and the first `curl` against a running service."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from edit_rrm.card import CARD_FILE, JudgeCard
from tests.docs.pages import ROOT, Block, blocks

PYTHON = blocks("python")
ASKING = [block for block in PYTHON if "RewardClient(" in block.text]
ENGINES = ROOT / "service" / "edit_rrm_service" / "engines"
STARTED = [ROOT / "docs" / "getting-started.md"]


@pytest.mark.parametrize("block", [block for block in PYTHON if block not in ASKING], ids=lambda block: block.page)
def test_python_that_needs_no_service_runs(block: Block) -> None:
    exec(compile(block.text, block.page, "exec"), {})


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.parametrize("block", ASKING, ids=lambda block: block.page)
def test_python_that_asks_a_service_runs(
    block: Block, service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = ROOT / "client" / "edit_rrm_client" / "examples"
    for name, source in {"source": "source", "edited": "good", "one": "good", "two": "untouched"}.items():
        (tmp_path / f"{name}.png").write_bytes((examples / f"{source}.png").read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text.replace("http://127.0.0.1:8000", service), block.page, "exec"), {})


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="this machine has no curl")
@pytest.mark.parametrize("page", ["README.md", "docs/getting-started.md"])
def test_the_first_curl_answers_what_is_shown(page: str, service: str) -> None:
    command = next(block.text for block in blocks("console", pages=[ROOT / page]) if "curl" in block.text)
    shown = json.loads(blocks("json", pages=STARTED)[0].text)
    words = shlex.split(command.replace("\\\n", " ").replace("http://127.0.0.1:8000", service))
    answer = json.loads(subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120).stdout)
    assert answer["outcome"] == shown["outcome"]
    for number in ("score", "reward", "average"):
        assert answer[number] == pytest.approx(shown[number], abs=1e-3)
    assert [verdict["passed"] for verdict in answer["verdicts"]] == [verdict["passed"] for verdict in shown["verdicts"]]


def test_the_judge_card_that_is_shown_is_one() -> None:
    card = JudgeCard.model_validate_json(blocks("json", pages=[ROOT / "docs" / "serve.md"])[0].text)
    assert card.name != JudgeCard().name
    assert card.labels == JudgeCard().labels


def test_what_the_page_of_serving_explains_is_what_the_service_says() -> None:
    table = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8").partition("| line at the start |")[2]
    shown = [
        part for cell in re.findall(r"^\| (`has .*?|`trained .*?) \|", table, re.MULTILINE) for part in cell.split("`")
    ]
    said = "".join((ENGINES / name).read_text(encoding="utf-8") for name in ("checkpoint.py", "rendering.py"))
    said = said.replace("{CARD_FILE}", CARD_FILE).replace("{card.prompts!r}", "...")
    pieces = [piece for line in shown if line not in ("", ", ") for piece in line.split("...")]
    assert len(pieces) > 8
    assert [piece for piece in pieces if piece.strip() not in said] == []
