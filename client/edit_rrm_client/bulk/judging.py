"""The rows of a window judged: in groups, each row with its own outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from edit_rrm.verdicts import Aggregation, Mode, Outcome, Reward
from edit_rrm_client.adapters.batch import grouped, in_order
from edit_rrm_client.bulk.cells import Images, checked_instruction
from edit_rrm_client.bulk.results import MAY_PASS, result_table
from edit_rrm_client.failure_policy import FailureBudget, FailurePolicy
from edit_rrm_client.group import GroupResult

MAX_FAILED = 0.5
"""Share of the last edits that may fail for no reason of their own."""


class Judge(Protocol):
    """What is asked of a client; `AsyncRewardClient` provides it."""

    async def rewards(
        self,
        instruction: str,
        source: bytes,
        edited: Sequence[bytes],
        *,
        mode: Mode = Mode.THINK,
        aggregation: Aggregation | None = None,
        samples: int = 1,
    ) -> GroupResult:
        """Judge a group."""


@dataclass(frozen=True, slots=True)
class How:
    """How rows are to be judged."""

    mode: Mode = Mode.THINK
    aggregation: Aggregation | None = None
    samples: int = 1


Seen = Callable[[Sequence[Reward]], None]
"""Is told of rows as they end."""


class WindowJudge:
    """Judges windows, several at a time, with so many groups under way in all of them together.

    It stops the run where too many of the last edits ended in failures that say nothing about them: the service is gone
    or in trouble, and going on would only write failures.
    """

    def __init__(
        self,
        judge: Judge,
        how: How,
        *,
        in_flight: int = 64,
        max_failed: float = MAX_FAILED,
        seen: Seen = lambda _: None,
    ) -> None:
        """Judge by these; to be used in one event loop."""
        self._judge = judge
        self._how = how
        self._slots = asyncio.Semaphore(in_flight)
        self._budget = FailureBudget(FailurePolicy(max_failed=max_failed, window=max(16, in_flight)))
        self._seen = seen

    async def __call__(self, window: pa.Table) -> pa.Table:
        """Judge a window.

        Args:
            window: In canonical form; see `cells.canonical`.

        Returns:
            The output's rows, in the window's order; see `results.result_table`.

        Raises:
            FailureBudgetError: The service is gone or in trouble.
            RewardClientError: Nothing can be measured this way: a wrong key, another judge than the pinned one, a mode
                that the judge has not.
        """
        rows = await asyncio.to_thread(_loaded, window)
        # Its images are held once, as what is sent.
        window = window.drop_columns(["instruction", "source", "edited"])
        failed = {place: row for place, row in enumerate(rows) if isinstance(row, Reward)}
        if failed:
            self._seen(list(failed.values()))
        sent = [(place, row) for place, row in enumerate(rows) if not isinstance(row, Reward)]
        groups = grouped([row.instruction for _, row in sent], [row.source for _, row in sent])
        tasks = [
            asyncio.ensure_future(self._group(instruction, source, [sent[place][1].edited for place in places]))
            for (instruction, source), places in groups.items()
        ]
        try:
            results = in_order(groups.values(), await asyncio.gather(*tasks))
        finally:
            await give_up(tasks)
        judged = dict(zip((place for place, _ in sent), results, strict=True))
        return result_table(window, [failed.get(place) or judged[place] for place in range(len(rows))])

    async def _group(self, instruction: str, source: bytes, edited: Sequence[bytes]) -> GroupResult:
        async with self._slots:
            answer = await self._judge.rewards(
                instruction,
                source,
                edited,
                mode=self._how.mode,
                aggregation=self._how.aggregation,
                samples=self._how.samples,
            )
        self._count(answer.results)
        return answer

    def _count(self, results: tuple[Reward, ...]) -> None:
        self._seen(results)
        telling = tuple(one for one in results if one.outcome is Outcome.SCORED or one.outcome in MAY_PASS)
        if telling:
            self._budget.observe([GroupResult(telling)])


async def give_up(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel what is still under way, and wait until it is."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _Row:
    instruction: str
    source: bytes
    edited: bytes


def _loaded(window: pa.Table) -> list[_Row | Reward]:
    images = Images()
    cells: list[Mapping[str, Any]] = window.select(["instruction", "source", "edited"]).to_pylist()
    return [_row(cell, images) for cell in cells]


def _row(cell: Mapping[str, Any], images: Images) -> _Row | Reward:
    instruction = checked_instruction(cell["instruction"])
    if isinstance(instruction, Reward):
        return instruction
    source, edited = images.load(cell["source"], "source"), images.load(cell["edited"], "edited")
    if isinstance(source, Reward):
        return source
    if isinstance(edited, Reward):
        return edited
    return _Row(instruction, source, edited)
