r"""Whether a judge orders a group's rollouts as the oracle of pixels does: what GRPO would learn from, before any run.

    edit-rrm serve --port 8017 &
    python -m benchmarks.rollout_agreement --url http://127.0.0.1:8017 --sampler cps --modes think,probe

Prompts are of the training split, beyond those that GRPO trains on; rollouts are drawn as training draws them. Each way
of making a reward of the same verdicts is compared too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from edit_rrm.aggregation import aggregate
from edit_rrm.verdicts import Aggregation, Mode, Reward
from edit_rrm_client import Group, RewardClient
from edit_rrm_training.editor.edit import load_editor
from edit_rrm_training.editor.nano.pixel_oracle import PixelVerdict, judge_pixels
from edit_rrm_training.editor.nano.tasks import make_task
from edit_rrm_training.editor.policies.base import EditPolicy
from edit_rrm_training.editor.prompts import ShapesPrompts
from edit_rrm_training.editor.sampling import roll_out, seed_of
from edit_rrm_training.editor.sde import SamplerName, trajectory

_FIRST = 1_000_000
"""Index of the first prompt: GRPO takes its own from the million before, in an order of its own."""
_STREAM = 7
_QUESTIONS = ("success", "done", "kept")


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often of a good and a bad rollout of one group the good one has the higher reward; a tie is half."""

    share: float | None
    """0 to 1; None where no group has both."""
    pairs: int


def agreement(rewards: Iterable[Sequence[float | None]], good: Iterable[Sequence[bool]]) -> Agreement:
    """Compare rewards with the truth, group by group; what was not measured is in no pair.

    Args:
        rewards: Of each group's rollouts.
        good: Whether each is what was asked for.
    """
    above, pairs = 0.0, 0
    for scores, truths in zip(rewards, good, strict=True):
        measured = [(score, truth) for score, truth in zip(scores, truths, strict=True) if score is not None]
        better = np.array([score for score, truth in measured if truth])
        worse = np.array([score for score, truth in measured if not truth])
        gaps = better[:, None] - worse[None, :]
        above += float((gaps > 0).sum() + 0.5 * (gaps == 0).sum())
        pairs += gaps.size
    return Agreement(above / pairs if pairs else None, pairs)


def correlation(rewards: Iterable[Sequence[float | None]], good: Iterable[Sequence[bool]]) -> float | None:
    """Pearson's, of distances from a group's mean: what an advantage that a group's deviation does not divide knows.

    Args:
        rewards: Of each group's rollouts; what was not measured is left out.
        good: Whether each is what was asked for.

    Returns:
        -1 to 1; None where rewards or truths differ in no group.
    """
    told, true = [np.empty(0)], [np.empty(0)]
    for scores, truths in zip(rewards, good, strict=True):
        measured = [(score, truth) for score, truth in zip(scores, truths, strict=True) if score is not None]
        if measured:
            values = np.array(measured, float)
            told.append(values[:, 0] - values[:, 0].mean())
            true.append(values[:, 1] - values[:, 1].mean())
    one, other = np.concatenate(told), np.concatenate(true)
    size = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / size if size > 0.0 else None


def _drawn(
    policy: EditPolicy, index: int, size: int, sampler: SamplerName, noise_level: float, steps: int
) -> tuple[Group, list[PixelVerdict]]:
    """One prompt's rollouts, and what the oracle says of them."""
    prompt = ShapesPrompts("train", index + 1)[index]
    condition = policy.encode([prompt.source], [prompt.instruction])
    path = trajectory(policy.times(steps, condition), "ode" if sampler == "match" else sampler, noise_level)
    seeds = [seed_of(_STREAM, index, number) for number in range(size)]
    pictures = roll_out(policy, condition.take([0] * size), path, seeds).pictures
    task = make_task("train", index)
    verdicts = [judge_pixels(task, np.asarray(picture.convert("RGB"))) for picture in pictures]
    return Group(prompt.instruction, prompt.source, pictures), verdicts


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Draw, have judged, and compare."""
    policy = load_editor(arguments.model)
    groups, truths = [], []
    for number in range(arguments.prompts):
        print(f"\rdrawing prompt {number + 1} of {arguments.prompts}", end="", flush=True)
        group, verdicts = _drawn(
            policy, _FIRST + number, arguments.size, arguments.sampler, arguments.noise_level, arguments.steps
        )
        groups.append(group)
        truths.append(verdicts)
    print()
    good = {name: [[bool(getattr(one, name)) for one in group] for group in truths] for name in _QUESTIONS}
    found: dict[str, Any] = {
        "model": str(arguments.model),
        "sampler": arguments.sampler,
        "noise_level": arguments.noise_level,
        "steps": arguments.steps,
        "prompts": arguments.prompts,
        "size": arguments.size,
        **{name: float(np.mean(values)) for name, values in good.items()},
        "mixed_groups": float(np.mean([any(group) and not all(group) for group in good["success"]])),
        "modes": {},
    }
    with RewardClient(arguments.url, timeout=arguments.timeout) as client:
        for mode in arguments.modes:
            judged = client.score_groups(groups, mode=mode)
            rewards = [[one.reward for one in result.results] for result in judged]
            found["modes"][mode.value] = {
                **_compared(rewards, good),
                "aggregations": {
                    how.value: _compared([[_again(one, how) for one in result.results] for result in judged], good)
                    for how in Aggregation
                    if how is not Aggregation.MODEL
                },
            }
    return found


def _compared(rewards: Sequence[Sequence[float | None]], good: dict[str, list[list[bool]]]) -> dict[str, Any]:
    failed = [
        reward
        for scores, truths in zip(rewards, good["success"], strict=True)
        for reward, truth in zip(scores, truths, strict=True)
        if reward is not None and not truth
    ]
    agreements = {name: agreement(rewards, values) for name, values in good.items()}
    correlations = {name: correlation(rewards, values) for name, values in good.items()}
    return {
        "full_marks_of_failures": float(np.mean([reward > 0.99 for reward in failed])) if failed else None,
        "agreement": {name: {"share": one.share, "pairs": one.pairs} for name, one in agreements.items()},
        "correlation": correlations,
    }


def _again(one: Reward, how: Aggregation) -> float | None:
    """What another aggregation makes of the same verdicts."""
    return None if one.reward is None else aggregate(one.verdicts, how)


def _modes(text: str) -> list[Mode]:
    return [Mode(name) for name in text.split(",")]


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="The service.")
    parser.add_argument("--model", default="nano", help="An editor's name or folder.")
    parser.add_argument("--sampler", choices=[name for name in get_args(SamplerName) if name != "ode"], default="sde")
    parser.add_argument("--noise-level", type=float, default=0.7)
    parser.add_argument("--steps", type=int, default=6, help="Of a rollout.")
    parser.add_argument("--prompts", type=int, default=30)
    parser.add_argument("--size", type=int, default=12, help="Rollouts of a prompt.")
    parser.add_argument("--modes", type=_modes, default=[Mode.THINK, Mode.PROBE], help="Of judging, by commas.")
    parser.add_argument("--timeout", type=float, default=600.0, help="Seconds for all of them.")
    parser.add_argument("--out", type=Path, help="A JSON file for what was found.")
    arguments = parser.parse_args()
    text = json.dumps(measure(arguments), indent=2)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
