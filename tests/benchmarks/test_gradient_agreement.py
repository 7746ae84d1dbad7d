"""What noise does to a gradient, and what it does not where a group shares it."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from benchmarks.gradient_agreement import Finished, gradient
from tests.training.editor.toy_policy import ToyPolicy


@pytest.mark.parametrize("shared", [False, True])
def test_noise_that_is_shared_falls_out_where_edits_are_alike(shared: bool) -> None:
    policy = ToyPolicy()
    condition = policy.encode([Image.new("RGB", (8, 8))] * 2, ["make it"] * 2)
    latents = policy.noise(condition, [1]).expand(2, -1, -1)
    alike = Finished(condition, latents, (1, 2), torch.tensor([1.0, -1.0]))
    found = gradient(policy, list(policy.trained.parameters()), [alike], 0.7, shared=shared)
    assert (found.norm() < 1e-6) == shared


def test_what_differs_is_learnt_in_the_direction_of_the_better_one() -> None:
    policy = ToyPolicy()
    condition = policy.encode([Image.new("RGB", (8, 8))] * 2, ["make it"] * 2)
    latents = policy.noise(condition, [1, 2])
    group = Finished(condition, latents, (1, 2), torch.tensor([1.0, -1.0]))
    parameters = list(policy.trained.parameters())
    step = gradient(policy, parameters, [group], 0.9, shared=True)
    start = 0.9 * torch.ones_like(latents[:1]) + 0.1 * latents.mean(0, keepdim=True)

    def end() -> torch.Tensor:
        with torch.no_grad():
            return start - 0.9 * policy.velocity(start, 0.9, condition.take([0]))

    before = end()
    torch.nn.utils.vector_to_parameters(torch.nn.utils.parameters_to_vector(parameters) - 0.1 * step, parameters)
    better = (latents[0] - latents[1]).flatten()
    assert ((end() - before).flatten() @ better).item() > 0.0
