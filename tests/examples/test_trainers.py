"""The examples run as they are, against the shipped judge, and what they print means something."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "trainers"
NUMBER = re.compile(r"[+-]?\d+\.\d+")

pytestmark = pytest.mark.vllm


def printed(name: str, service: str, *arguments: str) -> dict[str, str]:
    """What an example prints, by what is before the colon."""
    command = [sys.executable, str(FOLDER / f"{name}.py"), "--url", service, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    return {label: rest for label, _, rest in (line.partition(": ") for line in done.stdout.splitlines())}


def numbers(text: str) -> list[float]:
    return [float(one) for one in NUMBER.findall(text)]


@pytest.mark.parametrize(
    "name", ["reward_for_flow_grpo", "reward_for_verl", "rewards_for_unirl", "rewards_for_openrlhf"]
)
def test_rewards_are_in_the_order_of_how_good_the_edits_are(name: str, service: str) -> None:
    output = printed(name, service)
    rewards = [float(output[edit]) for edit in ("good", "collateral", "untouched")]
    assert 1.0 >= rewards[0] > rewards[1] > rewards[2] >= 0.0


@pytest.mark.parametrize("name", ["rewards_for_unirl", "rewards_for_openrlhf"])
def test_a_trainer_that_speaks_its_own_protocol_is_told_what_has_no_reward(name: str, service: str) -> None:
    assert "not an image of an accepted format" in printed(name, service)["broken"]


def test_what_is_no_picture_counts_for_nothing(service: str) -> None:
    output = printed("plain_callable", service)
    assert output["broken"] == "not measured, counts for nothing"
    advantages = [numbers(output[edit])[0] for edit in ("good", "collateral", "untouched")]
    assert advantages[0] > advantages[1] > advantages[2]
    assert sum(advantages) == pytest.approx(0.0, abs=0.02)


@pytest.mark.slow
def test_a_policy_learns_in_a_dozen_steps(service: str) -> None:
    rewards = numbers(printed("train_with_trl", service)["rewards"])
    assert len(rewards) == 12
    assert rewards[-1] > 0.9 > 0.6 > rewards[0]
