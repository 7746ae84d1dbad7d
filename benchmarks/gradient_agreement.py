r"""How much of an editor's gradient by flow matching is signal: whether it points the same way again.

    edit-rrm serve --port 8017 &
    python -m benchmarks.gradient_agreement --url http://127.0.0.1:8017 --config examples/editor/nano.yaml

Groups are drawn and judged once. Then, at one time of paths after another, the gradient that their advantages give is
worked out for half of the prompts, again in other noise, and for the other half: the cosine of two of them is near 1
where it is signal, and near 0 where it is noise. Paths begin with noise of each edit's own, or with one for a group.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edit_rrm_client import Group, RewardClient
from edit_rrm_training.editor.advantages import advantages_of, deviation_of
from edit_rrm_training.editor.load import load_pipeline, make_trainable, policy_of
from edit_rrm_training.editor.plan import plan_step
from edit_rrm_training.editor.policies.base import Condition, EditPolicy, seeded_noise
from edit_rrm_training.editor.prompts import load_prompts
from edit_rrm_training.editor.recipe import EditorRecipe, load_editor_recipe
from edit_rrm_training.editor.sampling import drawn_to_the_end, seed_of
from edit_rrm_training.editor.sde import trajectory

_SEED = 99
"""Of prompts and noise: no run's."""


@dataclass(frozen=True, slots=True)
class Finished:
    """One prompt's edits: what they started from, what they ended in, how they are known, and what they are worth."""

    condition: Condition
    latents: torch.Tensor
    seeds: tuple[int, ...]
    advantages: torch.Tensor


@dataclass(frozen=True, slots=True)
class Agreement:
    """Gradients at one time."""

    time: float
    shared_noise: bool
    norm: float
    other_noise: float
    """Cosine of a half's gradient with its own in other noise, -1 to 1."""
    other_prompts: float
    """Cosine with the other half's."""


def drawn(policy: EditPolicy, recipe: EditorRecipe, groups: int) -> list[Finished]:
    """Edits of so many prompts, judged."""
    prompts = load_prompts(recipe.prompts)
    plans = plan_step(_SEED, 0, prompts=len(prompts), groups=groups, group_size=recipe.group_size)
    finished, asked = [], []
    for plan in plans:
        prompt = prompts[plan.prompt]
        condition = policy.encode([prompt.source], [prompt.instruction]).take([0] * len(plan.seeds))
        steps = trajectory(policy.times(recipe.sampling.steps, condition), "ode", 0.0)
        with torch.no_grad():
            latents, _ = drawn_to_the_end(policy, condition, steps, plan.seeds)
            asked.append(Group(prompt.instruction, prompt.source, tuple(policy.decode(latents, condition))))
        finished.append((condition, latents.float(), plan.seeds))
    with RewardClient(recipe.rewards.url, timeout=recipe.rewards.timeout) as client:
        judged = client.score_groups(asked, mode=recipe.rewards.mode, aggregation=recipe.rewards.aggregation)
    rewards = [group.rewards for group in judged]
    deviation = deviation_of(np.concatenate(rewards))
    found = advantages_of(rewards, recipe.spread, recipe.failures, deviation, epsilon=recipe.spread_epsilon)
    return [
        Finished(*one, torch.as_tensor(np.where(counts, advantages, 0.0), dtype=torch.float32))
        for one, (advantages, counts) in zip(finished, found, strict=True)
    ]


def gradient(
    policy: EditPolicy, trained: Sequence[torch.nn.Parameter], groups: Sequence[Finished], time: float, *, shared: bool
) -> torch.Tensor:
    """Of flow matching weighted by advantages, as one vector; its noise is decided by seeds and time."""
    for parameter in trained:
        parameter.grad = None
    for group in groups:
        salt = int(time * 1e6)
        own = [seed_of(seed, salt) for seed in group.seeds]
        noise = seeded_noise(tuple(group.latents.shape[1:]), own[:1] if shared else own)
        before = (1.0 - time) * group.latents + time * noise
        velocity = policy.velocity(before, time, group.condition).float()
        errors = (velocity - (noise - group.latents)).square().flatten(1).mean(1)
        ((group.advantages * errors).mean() / len(groups)).backward()
    return torch.cat([p.grad.flatten() for p in trained if p.grad is not None])


def agreements(recipe: EditorRecipe, groups: int, times: Sequence[float]) -> list[Agreement]:
    """Measure at these times."""
    pipeline = load_pipeline(recipe.policy, torch.device("cpu"))
    trained = make_trainable(recipe.policy, pipeline)
    policy = policy_of(recipe.policy, pipeline)
    policy.use(pipeline.transformer)
    edits = drawn(policy, recipe, groups)
    one, other = edits[::2], edits[1::2]
    found = []
    for time in times:
        for shared in (False, True):
            first = gradient(policy, trained, one, time, shared=shared)
            # As good as the same time, with noise of another seed.
            again = gradient(policy, trained, one, time + 1e-5, shared=shared)
            others = gradient(policy, trained, other, time, shared=shared)
            made = Agreement(time, shared, float(first.norm()), _cosine(first, again), _cosine(first, others))
            print(json.dumps(asdict(made)), flush=True)
            found.append(made)
    return found


def _cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(one, other, dim=0))


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="The service.")
    parser.add_argument("--config", type=Path, default=Path("examples/editor/nano.yaml"), help="A run's YAML file.")
    parser.add_argument("--model", help="An editor's name or folder, in the place of the file's.")
    parser.add_argument("--groups", type=int, default=24, help="Prompts, half of which are compared with the others.")
    parser.add_argument("--times", type=float, nargs="+", default=[0.1, 0.3, 0.5, 0.7, 0.9])
    parser.add_argument("--out", type=Path, help="A JSON file for what was found.")
    arguments = parser.parse_args()
    recipe = load_editor_recipe(arguments.config)
    policy = recipe.policy.model_copy(update={"model": arguments.model or recipe.policy.model})
    rewards = recipe.rewards.model_copy(update={"url": arguments.url})
    recipe = recipe.model_copy(update={"policy": policy, "rewards": rewards})
    found: dict[str, Any] = {"model": recipe.policy.model, "groups": arguments.groups}
    found["agreements"] = [asdict(one) for one in agreements(recipe, arguments.groups, arguments.times)]
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
