"""vLLM's engine process ends with the service that started it, however that ended.

A service that is killed (SIGKILL, out of memory) can tell its engine nothing, and vLLM's engine process would hold its
memory for good: the GPU's, too. vLLM calls `end_with_service` in each of its processes, as one of its general plugins
(the entry point in pyproject.toml); its workers watch the engine process by themselves.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading

SERVICE_PID = "EDIT_RRM_SERVICE_PID"
"""Variable that tells processes which service they were started by."""


def end_with_service() -> None:
    """End this process when its parent is gone, if the parent is the service; otherwise do nothing."""
    parent = multiprocessing.parent_process()
    if parent is None or os.environ.get(SERVICE_PID) != str(parent.pid):
        return
    threading.Thread(target=_wait, args=(parent.sentinel,), name="end-with-service", daemon=True).start()


def _wait(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    # Nobody is left to answer to, and an orderly end may wait for what never comes.
    os.kill(os.getpid(), signal.SIGKILL)
