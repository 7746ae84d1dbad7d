"""A step of a Ray pipeline whose process is killed once, in the middle of its work."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa

from edit_rrm_client.bulk.ray_data import RewardBatches


class KilledOnce(RewardBatches):
    """Judges its batch, and is killed before anybody knows, unless another one was before."""

    def __init__(self, marker: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._marker = Path(marker)

    def __call__(self, batch: pa.Table) -> pa.Table:
        result = super().__call__(batch)
        if 10 in batch["row"].to_pylist():
            try:
                self._marker.touch(exist_ok=False)
            except FileExistsError:
                return result
            os.kill(os.getpid(), signal.SIGKILL)
        return result
