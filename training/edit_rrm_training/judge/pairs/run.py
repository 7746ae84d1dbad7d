"""Asks a service about every group that has no result yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Protocol

from edit_rrm_training.judge.pairs.asking import EditScore
from edit_rrm_training.judge.pairs.grouping import Group


class Store(Protocol):
    """Where results are kept; `results.Results` is one on disk."""

    def get(self, key: str, edits: int) -> list[EditScore] | None:
        """What is known about a group."""
        ...

    def add(self, key: str, scores: Sequence[EditScore]) -> None:
        """Keep what a group got."""
        ...


class Memory:
    """Results that nobody needs after the run."""

    def get(self, key: str, edits: int) -> list[EditScore] | None:
        """Nothing is known beforehand."""
        return None

    def add(self, key: str, scores: Sequence[EditScore]) -> None:
        """Nothing is kept."""


def ask_all(
    groups: Sequence[Group],
    ask: Callable[[Group], list[EditScore]],
    store: Store,
    *,
    workers: int = 32,
    progress: Callable[[int], None] = lambda done: None,
) -> Mapping[str, list[EditScore]]:
    """Scores of every group's edits.

    Args:
        groups: What to ask.
        ask: Asks about one group; called from several threads.
        store: Has the results of an earlier run, and gets every new one as it comes.
        workers: Groups in flight at a time.
        progress: Called with the number of groups done, those of an earlier run included.

    Raises:
        Exception: Whatever `ask` raised first; what was found until then is in the store.
    """
    known = ((group.key, store.get(group.key, len(group.edits))) for group in groups)
    found = {key: scores for key, scores in known if scores is not None}
    progress(len(found))
    left = [group for group in groups if group.key not in found]
    with ThreadPoolExecutor(workers) as pool:
        asked = {pool.submit(ask, group): group.key for group in left}
        try:
            for future in as_completed(asked):
                scores = future.result()
                store.add(asked[future], scores)
                found[asked[future]] = scores
                progress(len(found))
        except BaseException:
            # Nothing new is begun after a failure or Ctrl-C; what is in flight ends.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return found
