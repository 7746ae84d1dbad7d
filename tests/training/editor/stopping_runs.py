"""Runs of two processes of which one has to stop; each function is called once in both of them."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import NoReturn

from accelerate import Accelerator

from edit_rrm_client import RewardClientError
from edit_rrm_training.editor.stopping import FailedElsewhereError
from tests.training.editor.toy_run import BlueJudge, DiesAfter, Notes, toy_run

BEFORE = 2 * 2
"""Groups of training that each process has judged before the third step."""


def terminated(out: Path) -> None:
    """SIGTERM for the second, while the first waits for the scores of a service that is away."""
    accelerator, back = Accelerator(cpu=True), threading.Event()

    def away() -> None:
        back.wait(100.0)

    def told() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    judge = DiesAfter(BEFORE, told if accelerator.process_index else away)
    done = toy_run(out, judge, Notes(), accelerator=accelerator, steps=9, save_every=50).run()
    back.set()
    (out / f"done-{accelerator.process_index}").write_text(str(done))


def refused(out: Path) -> None:
    """The second is refused; the first has no reason of its own to end."""
    accelerator = Accelerator(cpu=True)
    judge = DiesAfter(BEFORE, _refuse) if accelerator.process_index else BlueJudge()
    run = toy_run(out, judge, Notes(), accelerator=accelerator, steps=9, save_every=50)
    try:
        run.run()
    except (RewardClientError, FailedElsewhereError) as error:
        (out / f"error-{accelerator.process_index}").write_text(f"{type(error).__name__}: {error}")


def _refuse() -> NoReturn:
    raise RewardClientError("no such key", code="unauthorized")
