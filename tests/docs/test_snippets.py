"""What the documents show is run: Python blocks, and the README's `curl` against a running service."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (page.name, text)
        for page in PAGES
        for found, text in _BLOCK.findall(page.read_text(encoding="utf-8"))
        if found == language
    ]


PYTHON = blocks("python")


@pytest.mark.parametrize(("page", "code"), [snippet for snippet in PYTHON if "RewardClient(" not in snippet[1]])
def test_python_that_needs_no_service_runs(page: str, code: str) -> None:
    exec(compile(code, page, "exec"), {})


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.parametrize(("page", "code"), [snippet for snippet in PYTHON if "RewardClient(" in snippet[1]])
def test_python_that_asks_a_service_runs(
    page: str, code: str, service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = ROOT / "client" / "edit_rrm_client" / "examples"
    for name, source in {"source": "source", "edited": "good", "one": "good", "two": "untouched"}.items():
        (tmp_path / f"{name}.png").write_bytes((examples / f"{source}.png").read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(compile(code.replace("http://127.0.0.1:8000", service), page, "exec"), {})


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="this machine has no curl")
def test_the_readmes_curl_answers_what_the_readme_shows(service: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    command = next(text for language, text in _BLOCK.findall(readme) if language == "console" and "curl" in text)
    shown = json.loads(next(text for language, text in _BLOCK.findall(readme) if language == "json"))
    words = shlex.split(command.replace("\\\n", " ").replace("http://127.0.0.1:8000", service))
    answer = json.loads(subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120).stdout)
    assert answer["outcome"] == shown["outcome"]
    for number in ("score", "reward", "average"):
        assert answer[number] == pytest.approx(shown[number], abs=1e-3)
    assert [verdict["passed"] for verdict in answer["verdicts"]] == [verdict["passed"] for verdict in shown["verdicts"]]


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{page.name}: {link}"
        for page in [*PAGES, ROOT / "CONTRIBUTING.md"]
        for link in _LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]
    assert broken == []
