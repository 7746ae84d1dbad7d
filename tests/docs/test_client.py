"""Figures of the client's page are those that were measured, and its tables name what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import edit_rrm_client
from edit_rrm_client import group_advantages
from tests.client.test_failure_policy import FAILURES, world

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FAILURES)
def test_the_cost_of_failures_is_what_the_table_says(name: str) -> None:
    rewards, _, mask = world(FAILURES[name])
    zeroed = np.where(mask, rewards, 0.0)
    masked_mean = np.mean([group[valid].mean() for group, valid in zip(rewards, mask, strict=True) if valid.any()])
    everyone = np.ones_like(mask)
    true, _ = group_advantages(rewards, everyone)
    ours, _ = group_advantages(zeroed, mask)
    blamed, _ = group_advantages(zeroed, everyone)
    cells = [
        name,
        f"{1.0 - mask.mean():.1%}",
        f"{masked_mean - rewards.mean():+.3f}",
        f"{zeroed.mean() - rewards.mean():+.3f}",
        "0" if (ours[~mask] == 0.0).all() else "not 0",
        f"{blamed[~mask].mean():+.2f}",
        f"{np.corrcoef(ours.ravel(), true.ravel())[0, 1]:.3f}",
        f"{np.corrcoef(blamed.ravel(), true.ravel())[0, 1]:.3f}",
    ]
    assert f"| {' | '.join(cells)} |" in TEXT


def test_the_cost_of_the_client_is_what_was_recorded() -> None:
    report = json.loads((ROOT / "benchmarks" / "results" / "client_overhead.json").read_text(encoding="utf-8"))
    spread = report["from_files"]
    told = f"{spread['median']:.2f} ms of CPU time (median of {report['runs']} runs of {report['groups']} groups x"
    assert told in TEXT
    assert f"{spread['least']:.2f} to {spread['most']:.2f}" in TEXT
    assert f"takes {report['encoding']['median']:.0f} ms of one core" in TEXT


def test_every_error_is_in_the_table() -> None:
    listed = set(re.findall(r"^\| `(\w+Error)`", TEXT, re.MULTILINE))
    errors = {name for name in edit_rrm_client.__all__ if name.endswith("Error")} - {"RewardClientError"}
    assert listed == errors
