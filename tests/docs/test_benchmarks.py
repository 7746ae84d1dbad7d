"""The speeds in the documents are those of the newest committed run of `make bench`, and of the sizing check."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.table import rows

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
[*_, NEWEST] = sorted(RESULTS.glob("20*.json"))


def test_the_table_is_the_newest_runs() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert NEWEST.name in text
    assert NEWEST.with_suffix(".png").name in text
    missing = [what for what, value in rows(json.loads(NEWEST.read_text())) if f"| {what} | {value} |" not in text]
    assert missing == []


def test_the_readme_promises_no_more_than_was_measured() -> None:
    found = json.loads(NEWEST.read_text())
    question_first = found["probe 40M"]["ratios"]["vllm-serve-question-first"]["median"]
    as_asked = found["probe 3M"]["ratios"]["vllm-serve"]["median"]
    assert min(question_first, as_asked) > 1.9, "twice vllm serve asked for each principle"
    assert found["probe 40M"]["ratios"]["offline"]["median"] >= 1.0, "all of the offline batch"
    flask = [one["median"] for one in found["overhead"]["callers"]["ratios_to_flask_pickle"].values()]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{min(flask):.1f} to {max(flask):.1f} times Flask with pickles" in text
    assert "twice `vllm serve`" in text


def test_the_sizing_check_is_in_the_page() -> None:
    text = (ROOT / "docs" / "capacity.md").read_text(encoding="utf-8")
    judges = json.loads((RESULTS / "sizing.json").read_text())["judges"]
    for name, judge in zip(("3M", "40M", "150M"), judges.values(), strict=True):
        off = [f"{100 * one['off']:+.1f}%" for one in judge["predicted"].values()]
        rates = [f"{judge['prompt_tokens_per_s']:,.0f}", f"{judge['images_per_s']:.0f}"]
        assert f"| {' | '.join([name, *rates, *off])} |" in text
    counts = [one for judge in judges.values() for one in judge["tokens"].values()]
    assert max(abs(one["formula"] / one["counted"] - 1) for one in counts) < 0.11
