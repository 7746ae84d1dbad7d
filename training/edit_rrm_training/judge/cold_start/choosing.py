"""The pass before the steps: which rows are taken, one record per input row, in the input's order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from edit_rrm_training.judge.cold_start.errors import AnswerError, ColdStartError, UnavailableError
from edit_rrm_training.judge.cold_start.flow import Patience, in_order, seed_for
from edit_rrm_training.judge.cold_start.journal import Journal
from edit_rrm_training.judge.cold_start.mixing import Pool, Quota, parse_triage
from edit_rrm_training.judge.cold_start.rows import BadRow, EditRow, Load, RowSource
from edit_rrm_training.judge.cold_start.teachers.base import Classifier

Hard = bool | None | UnavailableError
"""Whether a row is hard; None where nobody asked or the answer could not be read."""


async def choose(
    rows: RowSource,
    journal: Journal,
    quota: Quota,
    classifier: Classifier | None,
    *,
    seed: int,
    window: int,
    progress: Callable[[int], None],
) -> None:
    """Choose rows until the quota is full or the input ends; what the journal has is not chosen anew.

    Raises:
        ColdStartError: No row can be used, the classifier does not answer, or the disk is full.
    """
    triage = _Triage(classifier, seed)
    known = list(journal)
    ledger = _Ledger(journal)
    taken = 0
    progress(0)

    async def work(item: tuple[int, Load]) -> tuple[EditRow | BadRow | None, Hard]:
        index, load = item
        if index < len(known):
            return None, None
        row = load()
        if isinstance(row, BadRow) or not quota.wants_to_know(row.task):
            return row, None
        return row, await triage.hard(row)

    stream = in_order(enumerate(rows), work, window)
    try:
        async for (index, _), result in stream:
            if quota.full:
                break
            assert not isinstance(result, UnavailableError)
            row, hard = result
            if row is None:
                record = journal.get(known[index])
                assert record is not None
                if "task" in record:
                    taken += quota.take(record["task"], record["hard"]) is not Pool.LEFT_OUT
            elif isinstance(row, BadRow):
                ledger.add(_refused(row.origin, row.reason, row.message))
            elif row.id in ledger:
                ledger.add(_refused(row.origin, "duplicate", "an earlier row is the same"))
            else:
                if hard is None and quota.wants_to_know(row.task):
                    # The random pool filled up after this row was looked at.
                    hard = await triage.hard(row)
                taken += _take(row, hard, quota, ledger) is not Pool.LEFT_OUT
            progress(taken)
    finally:
        await stream.aclose()
        await triage.close()
    ledger.conclude()
    if taken == 0:
        raise ColdStartError(f"{rows.name} has no row that can be used; {journal.path} says why")
    journal.sync()


def _take(row: EditRow, hard: Hard, quota: Quota, ledger: _Ledger) -> Pool:
    asked = quota.wants_to_know(row.task)
    missed = hard if asked and isinstance(hard, UnavailableError) else None
    # What nobody needs to know any more is not recorded, so that records don't depend on how far ahead was asked.
    told = hard if asked and isinstance(hard, bool) else None
    pool = quota.take(row.task, told)
    record: dict[str, Any] = {"id": row.id, "task": row.task, "origin": row.origin, "pool": pool, "hard": told}
    if asked and told is None:
        record["unclassified"] = True
    ledger.add(record, missed=missed, answered=asked and missed is None)
    return pool


def _refused(origin: str, reason: str, message: str) -> dict[str, Any]:
    # Its place makes the id one of a kind; a digest would be of what is not there.
    key = f"{reason}:{origin}"
    return {"id": key, "origin": origin, "pool": Pool.LEFT_OUT, "failure": reason, "message": message}


class _Ledger:
    """Holds records back while the classifier does not answer: if it turns out to be away, its rows are still open."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._patience = Patience()
        self._held: dict[str, dict[str, Any]] = {}
        self._missing = False

    def __contains__(self, key: str) -> bool:
        return key in self._journal or key in self._held

    def add(self, record: dict[str, Any], *, missed: UnavailableError | None = None, answered: bool = False) -> None:
        """Record a row.

        Raises:
            UnreachableError: The classifier is away; what was held back is forgotten.
        """
        self._held[record["id"]] = record
        if missed is not None:
            self._missing = True
            self._patience.missed(missed)
        elif answered:
            self._missing = False
            self._patience.answered()
        if not self._missing:
            self._release()

    def conclude(self) -> None:
        """Record what is held back. Raises as `add`."""
        self._patience.conclude()
        self._release()

    def _release(self) -> None:
        for record in self._held.values():
            self._journal.append(record)
        self._held.clear()


class _Triage:
    """Asks the classifier once per task: edits of one source share the answer."""

    def __init__(self, classifier: Classifier | None, seed: int) -> None:
        self._classifier, self._seed = classifier, seed
        self._answers: dict[str, Hard] = {}
        self._asked: dict[str, asyncio.Task[Hard]] = {}

    async def hard(self, row: EditRow) -> Hard:
        """Whether a row's instruction is hard."""
        if row.task in self._answers:
            return self._answers[row.task]
        if row.task not in self._asked:
            self._asked[row.task] = asyncio.create_task(self._ask(row))
        # One row's being cancelled must not take the answer from the others.
        answer = await asyncio.shield(self._asked[row.task])
        # A bool takes a thousandth of a task's memory.
        self._answers[row.task] = answer
        self._asked.pop(row.task, None)
        return answer

    async def close(self) -> None:
        """Leave questions that are no longer of interest."""
        for task in self._asked.values():
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)

    async def _ask(self, row: EditRow) -> Hard:
        assert self._classifier is not None, "a quota that wants to know comes with a classifier"
        try:
            return parse_triage(await self._classifier.classify(row, seed_for(self._seed, row.task, "triage")))
        except AnswerError:
            return None
        except UnavailableError as error:
            return error
