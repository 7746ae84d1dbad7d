"""A way of judging in a process of its own: engines without a server would fight for this one's cores."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.speed.contender import Judged, Judging, Setting
from edit_rrm_client import Group

_STOP_WITHIN_S = 60.0


@contextmanager
def in_a_process(make: Callable[[Setting], Judging], setting: Setting) -> Iterator[Judging]:
    """Make a way of judging in a new process, and ask it from here.

    Args:
        make: Found by its name there: a function of a module.
        setting: For it.

    Raises:
        RuntimeError: It could not be made, or the process ended.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, make, setting), daemon=True)
    process.start()
    there.close()

    def judge(groups: Sequence[Group]) -> Judged:
        here.send(list(groups))
        found: Judged = _received(here, make)
        return found

    try:
        _received(here, make)
        yield judge
        here.send(None)
        process.join(timeout=_STOP_WITHIN_S)
    finally:
        process.kill()


def _received(pipe: Any, make: Callable[[Setting], Judging]) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        raise RuntimeError(f"the process of {make.__module__} ended; what it said is above") from None


def _serve(pipe: Any, make: Callable[[Setting], Judging], setting: Setting) -> None:
    judge = make(setting)
    pipe.send(0)
    while (groups := pipe.recv()) is not None:
        pipe.send(judge(groups))
