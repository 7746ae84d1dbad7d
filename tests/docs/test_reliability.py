"""Every row of the reliability page names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.soak.report import load, table

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_every_row_has_a_test() -> None:
    rows = [line for line in TEXT.partition("## The long run")[0].splitlines() if "|" in line]
    assert len(rows) > 15
    for row in rows[2:]:
        named = re.findall(r"`(tests/[\w/]+\.py)`", row)
        assert named, row
        assert all((ROOT / name).is_file() for name in named), row


def test_the_long_runs_table_is_what_was_measured() -> None:
    assert table(load(ROOT / "docs" / "results" / "soak.json")) in TEXT
