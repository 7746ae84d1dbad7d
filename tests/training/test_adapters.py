"""An adapter that could not become a judge is refused before it costs anything."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from edit_rrm_training.judge.adapters import check_mergeable


def trainer(*, fsdp: bool = False, deepspeed: bool = False) -> SimpleNamespace:
    return SimpleNamespace(is_fsdp_enabled=fsdp, is_deepspeed_enabled=deepspeed)


@pytest.mark.parametrize("sharded", [trainer(fsdp=True), trainer(deepspeed=True)])
def test_an_adapter_of_sharded_weights_is_refused(sharded: SimpleNamespace) -> None:
    with pytest.raises(ValueError, match="set lora_rank to 0, or launch with plain data parallelism"):
        check_mergeable(sharded, 64)
    check_mergeable(sharded, 0)


def test_an_adapter_is_fine_on_plain_data_parallelism() -> None:
    check_mergeable(trainer(), 64)
