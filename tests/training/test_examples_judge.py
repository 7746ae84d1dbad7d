"""The accelerate configurations for big judges are ones that accelerate reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file

FOLDER = Path(__file__).parents[2] / "examples" / "judge"


@pytest.mark.parametrize(("name", "kind"), [("fsdp.yaml", "FSDP"), ("zero3.yaml", "DEEPSPEED")])
def test_accelerate_reads_it(name: str, kind: str) -> None:
    config = load_config_from_file(str(FOLDER / name))
    assert config.distributed_type == kind
    assert (config.num_processes, config.mixed_precision) == (8, "bf16")
