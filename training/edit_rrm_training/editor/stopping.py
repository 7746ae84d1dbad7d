"""SIGTERM and failed scoring in a run of several devices: all leave at the same place, with nothing half done."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Any

import torch

from edit_rrm_training.editor.progress import Counted, unheard


class StoppedError(Exception):
    """Some device was told to end; all of them raise this at the same place."""


class FailedElsewhereError(RuntimeError):
    """Another device could not have its edits judged; its own message says why."""


class Stopping:
    """Agrees with all devices on whether to go on, often enough for a scheduler's patience.

    Devices wait for each other a poll at a time: a collective that one of them enters while another waits out an outage
    of the service would be taken for a hang (NCCL gives up after ten minutes).
    """

    def __init__(self, accelerator: Any, *, poll_s: float = 1.0) -> None:
        """Agree over an `accelerate.Accelerator`'s devices, every `poll_s` seconds of waiting."""
        self._accelerator = accelerator
        self._poll_s = poll_s
        self._told = False
        self.agreed = False
        """Whether all devices are leaving at the same place, so that they can still save together."""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take notice of SIGTERM for as long as a context lasts."""

        def stop(number: int, frame: object) -> None:
            self._told = True

        before = signal.signal(signal.SIGTERM, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def check(self) -> None:
        """Go on, if no device was told to end. All have to ask.

        Raises:
            StoppedError: Some was.
        """
        if self.any(self._told):
            self._leave()

    def wait(self, under_way: Sequence[Future[Any]], told: Counted = unheard) -> None:
        """Wait until what every device has under way is done. All have to wait, each for its own.

        Args:
            under_way: This device's.
            told: Is told how many are done, of how many.

        Raises:
            StoppedError: Some device was told to end meanwhile.
            FailedElsewhereError: Another device's raised something; where this one's did, that is raised.
        """
        if under_way:
            told(0, len(under_way))
        while True:
            done, waiting = wait(under_way, timeout=self._poll_s)
            if waiting:
                told(len(done), len(under_way))
            failed = next((error for one in under_way if one in done and (error := one.exception())), None)
            stopped, fails, waits = self._most(self._told, failed is not None, bool(waiting))
            if fails:
                self.agreed = True
                raise failed or FailedElsewhereError(
                    "another process could not have its edits judged, and has said why; this one ends with it"
                )
            if stopped:
                self._leave()
            if not waits:
                return

    def any(self, here: bool) -> bool:
        """Whether something holds on any device. All have to ask."""
        (found,) = self._most(here)
        return found

    def _leave(self) -> None:
        self.agreed = True
        raise StoppedError

    def _most(self, *here: bool) -> list[bool]:
        flags = torch.tensor([[int(one) for one in here]], device=self._accelerator.device)
        most: list[int] = self._accelerator.gather(flags).amax(0).tolist()
        return [bool(one) for one in most]
