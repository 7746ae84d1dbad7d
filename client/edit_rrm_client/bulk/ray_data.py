"""Scoring as a step of a Ray Data pipeline, and a reader that knows every row's place.

In a pipeline of one's own::

    rows = ray.data.read_parquet("edits/")
    scores = rows.map_batches(
        RewardBatches,
        fn_constructor_kwargs={"url": "http://judge:8000"},
        batch_format="pyarrow",
        batch_size=512,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=4),
        num_cpus=0.25,
    )
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

try:
    from ray.data import Datasource, ReadTask
    from ray.data.block import BlockMetadata
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("scoring on Ray needs ray[data]: pip install 'edit-rrm[bulk]'", name="ray") from error

from edit_rrm_client.async_client import AsyncRewardClient
from edit_rrm_client.bulk.cells import canonical
from edit_rrm_client.bulk.columns import Columns
from edit_rrm_client.bulk.judging import How, WindowJudge
from edit_rrm_client.bulk.reading import Input, InputFile, read_rows

_USUAL = Columns()


class RewardBatches:
    """Judges batches; for ``Dataset.map_batches`` with an actor pool.

    Edits of one instruction and source go to the service together where they are in one batch: keep such rows adjacent,
    and batches at least some groups long.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        columns: Columns | None = _USUAL,
        how: How | None = None,
        folder: str = ".",
        in_flight: int = 64,
        api_key: str | None = None,
        expect_identity: str | None = "first",
        timeout: float = 600.0,
    ) -> None:
        """Prepare a client; it lives as long as the actor.

        Args:
            url: The service, or its replicas.
            columns: Names in the batches; None where they come from `ParquetEdits`.
            how: How rows are judged.
            folder: What image paths are relative to.
            in_flight: Groups that this actor keeps under way.
            api_key: Key to send.
            expect_identity: The judge's; ``first`` pins each actor to its first answer only, so name it where there are
                several actors.
            timeout: Seconds that a group may take.
        """
        self._columns = columns
        self._folder = Path(folder)
        self._client = AsyncRewardClient(
            url,
            api_key=api_key,
            timeout=timeout,
            max_in_flight=in_flight,
            expect_identity=expect_identity,
            priority="training",
        )
        self._judge = WindowJudge(self._client, how or How(), in_flight=in_flight)
        self._runner = asyncio.Runner()

    def __call__(self, batch: pa.Table | Mapping[str, Any]) -> pa.Table:
        """Judge a batch.

        Args:
            batch: A table, or arrays by column, as Ray Data has them.

        Returns:
            The columns that were kept, ``row`` if there is one, and those of `results.RESULT_SCHEMA`.

        Raises:
            BulkError: Columns are missing or of the wrong type.
            FailureBudgetError: The service is gone or in trouble.
            RewardClientError: Nothing can be measured.
        """
        table = batch if isinstance(batch, pa.Table) else pa.table({name: list(batch[name]) for name in batch})
        if self._columns is not None:
            self._columns.check(table.schema, "the batch")
            table = canonical(table, self._columns, self._folder)
        return self._runner.run(self._judge(table))

    def close(self) -> None:
        """Close the connections; for use without Ray, whose actors end with their processes."""
        self._runner.run(self._client.close())
        self._runner.close()


class ParquetEdits(Datasource):  # type: ignore[misc]  # Ray's modules are not followed
    """A file or folder of edits, read by row groups, in canonical form: every row has its place in the whole."""

    def __init__(self, data: Input, task_rows: int) -> None:
        """Read an input that was opened, about so many rows a task and never less than a row group."""
        super().__init__()
        self._data = data
        self._task_rows = task_rows

    def estimate_inmemory_data_size(self) -> int | None:
        """Bytes of all files, about."""
        return sum(one.path.stat().st_size for one in self._data.files)

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[Any]:
        """One task for some adjacent row groups of a file."""
        tasks = []
        for file in self._data.files:
            for groups in _together(file.groups, self._task_rows):
                rows = sum(file.groups[group] for group in groups)
                size = file.path.stat().st_size * rows // max(1, file.rows)
                metadata = BlockMetadata(num_rows=rows, size_bytes=size, input_files=[str(file.path)], exec_stats=None)
                task = partial(_read, file, groups, self._data.columns)
                tasks.append(ReadTask(task, metadata, per_task_row_limit=per_task_row_limit))
        return tasks


def _together(groups: Sequence[int], rows: int) -> Iterator[list[int]]:
    """Numbers of adjacent row groups, of at least so many rows together but for the last ones; empty ones left out."""
    some: list[int] = []
    count = 0
    for number, size in enumerate(groups):
        if size:
            some.append(number)
            count += size
        if count >= rows:
            yield some
            some, count = [], 0
    if some:
        yield some


def _read(file: InputFile, groups: Sequence[int], columns: Columns) -> Iterator[pa.Table]:
    for group in groups:
        first = file.first + sum(file.groups[:group])
        yield from read_rows(file.path, group, first, np.ones(file.groups[group], np.bool_), columns)
