"""Runs of two processes of which one has to stop; each function is called once in both of them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from accelerate import Accelerator

from edit_rrm.verdicts import Aggregation, Mode
from edit_rrm_client import Group, GroupResult, RewardClientError
from edit_rrm_training.editor.stopping import FailedElsewhereError
from tests.training.editor.toy_run import BlueJudge, Notes, toy_run

BEFORE = 1 + 2 * 2
"""Groups that each process has judged before the third step: of an evaluation, and of two steps."""


class _Away(BlueJudge):
    """A service that the first process does not hear from any more, in the third step."""

    def __init__(self) -> None:
        super().__init__()
        self.back = threading.Event()

    def score_groups(
        self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
    ) -> list[GroupResult]:
        found = super().score_groups(groups, mode=mode, aggregation=aggregation)
        if len(self.asked) > BEFORE:
            self.back.wait(100.0)
        return found


class _Told(BlueJudge):
    """The second process is told to end in the third step."""

    def score_groups(
        self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
    ) -> list[GroupResult]:
        found = super().score_groups(groups, mode=mode, aggregation=aggregation)
        if len(self.asked) == BEFORE + 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return found


class _Refused(BlueJudge):
    """The second process is refused in the third step."""

    def score_groups(
        self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
    ) -> list[GroupResult]:
        found = super().score_groups(groups, mode=mode, aggregation=aggregation)
        if len(self.asked) > BEFORE:
            raise RewardClientError("no such key", code="unauthorized")
        return found


def terminated(out: Path) -> None:
    """SIGTERM for one, while the other waits for scores."""
    accelerator = Accelerator(cpu=True)
    away = _Away()
    judge = _Told() if accelerator.process_index else away
    done = toy_run(out, judge, Notes(), accelerator=accelerator, steps=9, save_every=50).run()
    away.back.set()
    (out / f"done-{accelerator.process_index}").write_text(str(done))


def refused(out: Path) -> None:
    """One is refused; the other has no reason of its own to end."""
    accelerator = Accelerator(cpu=True)
    judge = _Refused() if accelerator.process_index else BlueJudge()
    run = toy_run(out, judge, Notes(), accelerator=accelerator, steps=9, save_every=50)
    try:
        run.run()
    except (RewardClientError, FailedElsewhereError) as error:
        (out / f"error-{accelerator.process_index}").write_text(f"{type(error).__name__}: {error}")
