"""The moving average: diffusers' own, value for value; the weights themselves before it has begun."""

from __future__ import annotations

import pytest
import torch
from diffusers.training_utils import EMAModel
from torch import nn

from edit_rrm_training.editor.average import MovingAverage
from edit_rrm_training.editor.trained import Trained


def network() -> nn.Linear:
    torch.manual_seed(0)
    made = nn.Linear(3, 2)
    made.bias.requires_grad_(False)
    return made


def move(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape))


def test_it_is_diffusers_average() -> None:
    module = network()
    average, theirs = MovingAverage(Trained(module), 0.3), EMAModel([module.weight], decay=0.3)
    for _ in range(6):
        move(module)
        average.step()
        theirs.step([module.weight])
        assert torch.equal(average.whole(keep=True)["weight"], theirs.shadow_params[0])
    assert average.steps == 6
    assert average.whole(keep=True).keys() == {"weight"}
    assert average.whole(keep=False) == {}


def test_it_is_in_the_weights_place_for_a_while() -> None:
    module = network()
    average = MovingAverage(Trained(module), 0.9)
    move(module)
    before = module.weight.detach().clone()
    with average.applied():
        assert torch.equal(module.weight, before), "nothing was averaged yet"
    assert torch.equal(average.whole(keep=True)["weight"], before), "nor is the beginning what would be kept"
    average.step()
    move(module)
    after = module.weight.detach().clone()

    def stopped() -> None:
        with average.applied():
            assert torch.equal(module.weight, before)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert torch.equal(module.weight, after)
