"""Processes that train together over gloo, on the CPUs of this machine."""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_PATIENCE_S = 200.0


def run_together(count: int, target: Callable[..., None], *arguments: Any, log: Path, **environment: str) -> list[int]:
    """Call a module's function once in each of some processes, as a launcher starts them.

    Args:
        count: Of processes.
        target: Called with the arguments.
        arguments: Its.
        log: Folder for what is raised.
        environment: Variables beside those of a launcher.

    Returns:
        Exit codes by rank: 0, 1 where something was raised, or the negative signal.
    """
    # Forked from one that has imported everything: a process of its own takes longer to begin than to train.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([target.__module__])
    log.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(count):
        told = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        arguments_of_rank = (told, target, arguments, log / f"raised-{rank}.txt")
        processes.append(context.Process(target=_as_rank, args=arguments_of_rank, daemon=True))
    for process in processes:
        process.start()
    until = time.monotonic() + _PATIENCE_S
    try:
        for process in processes:
            process.join(max(0.0, until - time.monotonic()))
    finally:
        for process in processes:
            process.kill()
            process.join()
    return [process.exitcode or 0 for process in processes]


def raised(log: Path) -> str:
    """What was raised, for people."""
    return "\n".join(path.read_text(encoding="utf-8")[-3_000:] for path in sorted(log.glob("raised-*.txt")))


def _as_rank(
    environment: Mapping[str, str], target: Callable[..., None], arguments: tuple[Any, ...], log: Path
) -> None:
    import torch

    os.environ.update(environment)
    torch.set_num_threads(1)
    try:
        target(*arguments)
    except BaseException:
        log.write_text(traceback.format_exc(), encoding="utf-8")
        raise
