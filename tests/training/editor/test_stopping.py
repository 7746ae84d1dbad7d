"""All devices leave a run at the same place, soon, and with what they learnt saved."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator

from edit_rrm_training.editor.stopping import Stopping
from tests.training.editor import stopping_runs
from tests.training.editor.processes import raised, run_together


def both(target: Callable[..., None], out: Path) -> None:
    began = time.monotonic()
    codes = run_together(2, target, out, log=out / "log", ACCELERATE_USE_CPU="1")
    assert codes == [0, 0], raised(out / "log")
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["checkpoint-2"]
    assert time.monotonic() - began < 60.0


@pytest.mark.slow
def test_sigterm_for_one_ends_all_though_another_waits_for_its_scores(tmp_path: Path) -> None:
    both(stopping_runs.terminated, tmp_path)
    assert [(tmp_path / f"done-{rank}").read_text() for rank in (0, 1)] == ["2", "2"]


@pytest.mark.slow
def test_where_one_is_refused_all_end_and_save(tmp_path: Path) -> None:
    both(stopping_runs.refused, tmp_path)
    assert (tmp_path / "error-0").read_text().startswith("FailedElsewhereError: another process could not have its")
    assert (tmp_path / "error-1").read_text() == "RewardClientError: no such key"


def test_what_takes_long_is_waited_for_a_poll_at_a_time() -> None:
    """So that no collective takes as long as an outage: NCCL would take that for a hang."""
    gathered = []

    class Counts:
        device = "cpu"

        def gather(self, flags: Any) -> Any:
            gathered.append(flags.tolist())
            if len(gathered) == 4:
                slow.set_result(None)
            return flags

    slow: Future[None] = Future()
    told: list[tuple[int, int]] = []
    Stopping(Counts(), poll_s=0.01).wait([slow], lambda done, total: told.append((done, total)))
    assert len(gathered) == 5
    assert told == [(0, 1)] * 5


def test_what_was_raised_is_raised_here_though_others_are_still_under_way() -> None:
    broken: Future[None] = Future()
    broken.set_exception(KeyError("judge"))
    stopping = Stopping(Accelerator(cpu=True), poll_s=0.01)
    with pytest.raises(KeyError):
        stopping.wait([Future(), broken])
    assert stopping.agreed
