"""What a run is launched under: what is refused, and where DeepSpeed's engine goes about it otherwise."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import nn

from edit_rrm_training.editor.checkpoint import CheckpointError, Checkpoints
from edit_rrm_training.editor.deepspeed_optimisation import DeepSpeedOptimisation, set_up
from edit_rrm_training.editor.prepared import check_launch, prepare
from edit_rrm_training.judge.checkpoints import DivergedError
from tests.training.editor.toy_run import BlueJudge, Notes, recipe, toy_run


def launched(kind: str, processes: int = 1, **state: Any) -> Any:
    return SimpleNamespace(
        distributed_type=DistributedType(kind), state=SimpleNamespace(**state), num_processes=processes
    )


def test_what_was_never_made_to_run_is_refused() -> None:
    with pytest.raises(ValueError, match=r"FSDP 1 is not supported: set fsdp_version: 2 .*fsdp\.yaml"):
        check_launch(launched("FSDP", fsdp_plugin=SimpleNamespace(fsdp_version=1)), recipe())
    with pytest.raises(ValueError, match=r"ZeRO 3 is not supported: set zero_stage: 2.*fsdp\.yaml"):
        check_launch(launched("DEEPSPEED", deepspeed_plugin=SimpleNamespace(zero_stage=3)), recipe())
    check_launch(launched("FSDP", fsdp_plugin=SimpleNamespace(fsdp_version=2)), recipe())
    check_launch(launched("DEEPSPEED", deepspeed_plugin=SimpleNamespace(zero_stage=2)), recipe())
    check_launch(launched("MULTI_GPU"), recipe())


def test_groups_that_cannot_be_shared_are_refused_with_a_number_that_can() -> None:
    with pytest.raises(ValueError, match=r"multiple of updates \(2\) times processes \(3\): --set groups=6"):
        check_launch(launched("MULTI_GPU", processes=3), recipe(groups=4, updates=2))
    check_launch(launched("MULTI_GPU", processes=3), recipe(groups=6, updates=2))


@pytest.mark.parametrize(("epsilon", "least"), [(1e-8, 0.99), (1.0, 0.01)])
def test_weights_of_small_gradients_move_less_where_epsilon_is_above_them(epsilon: float, least: float) -> None:
    """AdamW moves every weight by the same, and with an epsilon far above its gradients as gradient descent does."""
    module = nn.Linear(2, 1, bias=False)
    before = module.weight.detach().clone()
    prepared = prepare(Accelerator(cpu=True), module, recipe(adam_epsilon=epsilon, learning_rate=0.1))
    prepared.module(torch.tensor([[1e-3, 1e-5]])).sum().backward()
    prepared.optimisation.step()
    large, small = (module.weight.detach() - before).abs().flatten().tolist()
    assert small / large == pytest.approx(least, rel=0.02)


def test_deepspeed_is_told_what_the_recipe_says() -> None:
    plugin = SimpleNamespace(deepspeed_config={"train_micro_batch_size_per_gpu": "auto", "gradient_clipping": "auto"})
    set_up(plugin, micro_batch=3, max_grad_norm=0.5)
    assert plugin.deepspeed_config == {
        "train_micro_batch_size_per_gpu": 3,
        "gradient_clipping": 0.5,
        "data_types": {"grad_accum_dtype": "fp32"},
    }


def test_deepspeeds_step_is_in_the_last_backward_pass() -> None:
    accelerator = SimpleNamespace(sync_gradients=True)
    engine = SimpleNamespace(get_global_grad_norm=lambda: 0.25)
    steps = DeepSpeedOptimisation(accelerator, engine)
    seen = []
    for more in (True, True, False):
        with steps.passing(more=more):
            seen.append(accelerator.sync_gradients)
    assert seen == [False, False, True]
    assert accelerator.sync_gradients is True
    assert steps.step() == 0.25
    engine.get_global_grad_norm = lambda: float("nan")
    with pytest.raises(DivergedError, match="the last checkpoint is good, the weights now are not"):
        steps.step()


def test_nodes_that_do_not_share_the_folder_do_not_go_on_from_different_steps(tmp_path: Any) -> None:
    run = toy_run(tmp_path, BlueJudge(), Notes(), steps=2, save_every=2)
    run.run()
    here: Checkpoints = run._checkpoints
    other = SimpleNamespace(device="cpu", gather=lambda step: torch.cat([step, torch.tensor([-1])]))
    here._accelerator = other
    with pytest.raises(CheckpointError, match=r"\(steps \[-1, 2\], -1 for none\): put --out on a file system that all"):
        here.load()
