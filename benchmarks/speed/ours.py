"""This service: `edit-rrm serve`, asked for whole groups through its client."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.speed.contender import Judged, Judging, Setting
from edit_rrm_client import Group, RewardClient
from edit_rrm_client.local import local_service

_TIMEOUT_S = 600.0


@contextmanager
def edit_rrm_serve(setting: Setting) -> Iterator[Judging]:
    """Serve, and ask over HTTP."""
    log = setting.logs / "edit-rrm.log"
    with (
        local_service(["--model", str(setting.judge), "--engine", "vllm"], log=log) as url,
        RewardClient(url, timeout=_TIMEOUT_S, max_in_flight=setting.in_flight) as client,
    ):

        def judge(groups: Sequence[Group]) -> Judged:
            began = time.monotonic()
            results = client.score_groups(groups, mode=setting.mode)
            seconds = time.monotonic() - began
            return Judged(sum(int(result.mask.sum()) for result in results), seconds)

        yield judge
