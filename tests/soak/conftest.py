"""What the long tests have in common: how long, and the table that they fill."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.soak.report import Row, save, table

PATH = Path("build") / "soak" / "report.json"
_ROWS = pytest.StashKey[list[Row]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ROWS] = []


@pytest.fixture
def rows(pytestconfig: pytest.Config) -> list[Row]:
    """The table so far, to add to."""
    return pytestconfig.stash[_ROWS]


@pytest.fixture
def minutes() -> float:
    """How long the soak takes."""
    return float(os.environ.get("EDIT_RRM_SOAK_MINUTES", "20"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = terminalreporter.config.stash[_ROWS]
    if rows:
        save(rows, PATH)
        terminalreporter.write_line(f"\n{table(rows)}\n\nsaved to {PATH}")
