"""A file of edits scored on this machine: streamed, and gone on with after any interruption."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from edit_rrm.wire import Identity
from edit_rrm_client.bulk.columns import Columns
from edit_rrm_client.bulk.errors import BulkError
from edit_rrm_client.bulk.judging import MAX_FAILED, How, Judge, WindowJudge
from edit_rrm_client.bulk.ledger import Ledger
from edit_rrm_client.bulk.pipeline import pipeline
from edit_rrm_client.bulk.progress import Progress, Silent
from edit_rrm_client.bulk.reading import Input
from edit_rrm_client.bulk.results import output_schema
from edit_rrm_client.bulk.run_folder import RunFolder
from edit_rrm_client.bulk.summary import Summary
from edit_rrm_client.bulk.windows import windows

WINDOW = 512
IN_FLIGHT = 64


class PinnedJudge(Judge, Protocol):
    """A judge that says who it is."""

    async def identity(self) -> Identity:
        """What exactly is judging."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to score, and how."""

    input: Path
    """A Parquet file, or a folder of them."""
    output: Path
    """The Parquet file to write. Until it is whole, what was measured is in the folder ``OUTPUT.run`` beside it."""
    columns: Columns = field(default_factory=Columns)
    how: How = field(default_factory=How)
    window: int = WINDOW
    """Rows read, sent and kept at a time; three windows are held at most."""
    in_flight: int = IN_FLIGHT
    """Groups that the service has at a time."""
    max_failed: float = MAX_FAILED
    """Share of the last edits, 0 to 1, that may fail for no reason of their own before the run is stopped."""
    fresh: bool = False
    """Delete what an earlier try measured."""
    retry_failed: bool = False
    """Ask again for rows whose failure may pass."""


async def score_file(job: Job, judge: PinnedJudge, progress: Progress | None = None) -> Summary:
    """Score a file. Called again after an interruption, it goes on; called again after the end, it asks nothing.

    The judge has to be pinned by its maker (``AsyncRewardClient(..., expect_identity="first")``): here its identity is
    only compared with that of earlier tries.

    Args:
        job: What to do.
        judge: Judges; `AsyncRewardClient` is one.
        progress: Is told how far it is.

    Returns:
        What came of all rows.

    Raises:
        BulkError: The input cannot be read or lacks columns, the output is another run's, or in use.
        FailureBudgetError: The service is gone or in trouble; what was measured is kept.
        RewardClientError: Nothing can be measured, or not by the judge that began; what was measured is kept.
        OSError: The output cannot be written.
    """
    began = time.monotonic()
    progress = progress or Silent()
    data = await asyncio.to_thread(Input.open, job.input, job.columns)
    if job.output.is_dir():
        raise BulkError(f"the output {job.output} is a folder; name a file to write", code="bad_input")
    if any(job.output.resolve() == one.path.resolve() for one in data.files):
        raise BulkError(f"the output {job.output} is the input itself; choose another one", code="bad_input")
    identity = (await judge.identity()).identity
    facts = facts_of(data, job.columns, job.how, identity)
    folder = RunFolder(job.output)
    with folder.held():
        if job.fresh:
            folder.clear()
        folder.claim(facts)
        ledger = await asyncio.to_thread(Ledger.read, _layers(folder, job.output), data.rows)
        pending = ledger.pending(job.retry_failed)
        asked = int(pending.sum())
        progress.begin(data.rows, data.rows - asked)
        if asked or not job.output.exists() or folder.parts():
            tables = data.tables(pending, min(job.window, 16))
            window_judge = WindowJudge(
                judge, job.how, in_flight=job.in_flight, max_failed=job.max_failed, seen=progress.seen
            )
            await pipeline(windows(tables, rows=job.window), window_judge, folder.commit)
            await asyncio.to_thread(_finish, folder, job.output, data, facts)
        final = Ledger.read([job.output], data.rows)
        seconds = time.monotonic() - began
        summary = Summary.of(_columns(final), identity=identity, asked=asked, seconds=seconds)
        folder.remove()
    return summary


def facts_of(data: Input, columns: Columns, how: How, identity: str) -> dict[str, Any]:
    """All that decides what the output says, as JSON has it."""
    return {
        "format": 1,
        "input": data.facts(),
        "columns": f"instruction={columns.instruction},source={columns.source},edited={columns.edited}",
        "keep": ",".join(columns.keep),
        "mode": how.mode.value,
        "aggregation": None if how.aggregation is None else how.aggregation.value,
        "samples": how.samples,
        "judge": identity,
    }


def _layers(folder: RunFolder, output: Path) -> list[Path]:
    return [*([output] if output.exists() else []), *folder.parts()]


def _finish(folder: RunFolder, output: Path, data: Input, facts: dict[str, Any]) -> None:
    ledger = Ledger.read(_layers(folder, output), data.rows)
    ledger.merge(output, output_schema(data.kept), facts)


def _columns(ledger: Ledger) -> Iterator[pa.Table]:
    for table in ledger.tables():
        yield table.select(["outcome", "reward"])
