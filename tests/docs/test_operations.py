"""The operator's page knows every setting, outcome and series that there is, and none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

from edit_rrm.verdicts import Outcome
from edit_rrm_service.metrics import Metrics
from edit_rrm_service.settings import Settings

TEXT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")


def test_every_setting_is_there() -> None:
    assert set(re.findall(r"`(EDIT_RRM_[A-Z0-9_]+)`", TEXT)) == {
        f"EDIT_RRM_{name.upper()}" for name in Settings.model_fields
    }


def test_every_outcome_is_there() -> None:
    section = TEXT.partition("## Outcomes")[2].partition("## Metrics")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(Outcome)


def test_every_series_is_there() -> None:
    section = TEXT.partition("## Metrics")[2]
    metrics = Metrics()
    metrics.watch_backends(list)
    exposed = {family.name + "_total" * (family.type == "counter") for family in metrics.registry.collect()}
    assert set(re.findall(r"`(edit_rrm_\w+)`", section)) == exposed
