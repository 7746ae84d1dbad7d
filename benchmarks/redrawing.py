r"""Whether an editor knows what its world looks like: perfect results are noised, and it draws them anew.

    python -m benchmarks.redrawing --times 0.3,0.5,0.8 --n 75

What it makes good again from half noise is its drawing; what it gets wrong only from noise alone is its understanding.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from PIL import Image

from edit_rrm_training.editor.edit import load_editor
from edit_rrm_training.editor.nano.pixel_oracle import judge_pixels
from edit_rrm_training.editor.nano.tasks import make_task
from edit_rrm_training.editor.policies.base import EditPolicy
from edit_rrm_training.editor.sampling import seed_of
from edit_rrm_training.judge.intervals import Share, wilson
from edit_rrm_training.shapes.render import render

_STREAM = 8


@torch.no_grad()
def redrawn(policy: EditPolicy, split: str, count: int, *, time: float, steps: int) -> Share:
    """The share of perfect results that are still good after they were noised and drawn anew.

    Args:
        policy: The editor.
        split: Of the shapes world.
        count: Tasks, from the split's first on.
        time: Share of noise, above 0 and up to 1: nothing but noise.
        steps: Of the way back, by Euler and evenly.

    Raises:
        ValueError: There is no such split, or time is not above 0 and up to 1.
    """
    if not 0.0 < time <= 1.0:
        raise ValueError(f"a time of {time} is none: above 0, and up to 1, which is nothing but noise")
    tasks = [make_task(split, index) for index in range(count)]
    instructions = [task.instruction for task in tasks]
    perfect = policy.encode([Image.fromarray(render(task.target)) for task in tasks], instructions).tensors["source"]
    condition = policy.encode([Image.fromarray(render(task.source)) for task in tasks], instructions)
    noise = policy.noise(condition, [seed_of(_STREAM, task.index) for task in tasks])
    latents = (1.0 - time) * perfect.float() + time * noise
    times = np.linspace(time, 0.0, steps + 1)
    for start, end in pairwise(times.tolist()):
        latents = latents + (end - start) * policy.velocity(latents, start, condition)
    pictures = policy.decode(latents, condition)
    verdicts = [judge_pixels(task, np.asarray(picture)) for task, picture in zip(tasks, pictures, strict=True)]
    return wilson(sum(verdict.success for verdict in verdicts), count)


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="An editor's name or folder, of FLUX.1-Kontext's class.")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--n", type=int, default=75, help="Tasks.")
    parser.add_argument("--times", default="0.3,0.5,0.8", help="Shares of noise, by commas.")
    parser.add_argument("--steps", type=int, default=8, help="Of the way back.")
    arguments = parser.parse_args()
    policy = load_editor(arguments.model)
    found: dict[str, Any] = {}
    for time in map(float, arguments.times.split(",")):
        found[str(time)] = asdict(redrawn(policy, arguments.split, arguments.n, time=time, steps=arguments.steps))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
