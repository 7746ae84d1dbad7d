"""A file or folder of edits scored by the workers of a Ray cluster, into a folder of Parquet files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pds
import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.data.checkpoint import CheckpointConfig

from edit_rrm_client.bulk.columns import Columns
from edit_rrm_client.bulk.errors import BulkError
from edit_rrm_client.bulk.judging import How
from edit_rrm_client.bulk.ray_data import ParquetEdits, RewardBatches
from edit_rrm_client.bulk.reading import Input
from edit_rrm_client.bulk.run_folder import RunFolder
from edit_rrm_client.bulk.scoring import IN_FLIGHT, WINDOW, facts_of
from edit_rrm_client.bulk.summary import Summary
from edit_rrm_client.client import RewardClient
from edit_rrm_client.errors import RewardClientError

_SHARE = 0.25
"""CPUs of every task and actor here: they wait for disks and the service."""


@dataclass(frozen=True, slots=True)
class RayJob:
    """What to score, and how."""

    input: Path
    """A Parquet file or a folder of them, in a place that every machine sees under this name."""
    output: Path
    """The folder to write, likewise. ``OUTPUT.run`` beside it says what is done."""
    urls: tuple[str, ...]
    """Of the service, as the workers reach it."""
    columns: Columns = field(default_factory=Columns)
    how: How = field(default_factory=How)
    window: int = WINDOW
    """Rows of a batch, and of a reading task; a whole row group at least."""
    in_flight: int = IN_FLIGHT
    """Groups that the service has at a time, of all workers together, about."""
    workers: int | None = None
    """Most actors; one for each CPU of the cluster, and at most four, where left out."""
    fresh: bool = False
    """Delete what an earlier try measured."""
    api_key: str | None = None
    timeout_s: float = 600.0
    """That a group may take."""


def score_on_ray(job: RayJob, address: str = "local") -> Summary:
    """Score a file or folder on Ray. Called again after an interruption, it goes on with what is missing.

    What is done is known by Ray Data's own checkpoints: a row is in the output and in a checkpoint, or in neither.

    Args:
        job: What to do.
        address: ``local`` for a cluster on this machine, ``auto`` for the one that runs, or its address. Where this
            process is connected already, that is used.

    Returns:
        What came of all rows.

    Raises:
        BulkError: The input cannot be read or lacks columns, the output is another run's, or in use.
        RewardClientError: Nothing can be measured, or the service is gone; what was measured is kept.
        OSError: The output cannot be written.
    """
    began = time.monotonic()
    data = Input.open(job.input, job.columns)
    if job.output.is_file():
        raise BulkError(f"the output {job.output} is a file; Ray writes a folder", code="bad_input")
    identity = _identity(job)
    folder = RunFolder(job.output)
    with folder.held():
        if job.fresh:
            folder.clear()
        folder.claim(facts_of(data, job.columns, job.how, identity))
        before = _rows_in(job.output)
        if before < data.rows:
            with _connected(address), _context(folder.path / "checkpoint"):
                _score(job, data, identity)
        asked = _rows_in(job.output) - before
        tables = _tables(job.output) if data.rows else iter(())
        return Summary.of(tables, identity=identity, asked=asked, seconds=time.monotonic() - began)


def _identity(job: RayJob) -> str:
    with RewardClient(job.urls, api_key=job.api_key, timeout=job.timeout_s) as client:
        return client.identity().identity


def _score(job: RayJob, data: Input, identity: str) -> None:
    workers = job.workers or max(1, min(4, int(ray.cluster_resources().get("CPU", 1))))
    scores = ray.data.read_datasource(ParquetEdits(data, job.window), num_cpus=_SHARE).map_batches(
        RewardBatches,
        fn_constructor_kwargs={
            "url": job.urls,
            "columns": None,
            "how": job.how,
            "in_flight": max(1, job.in_flight // workers),
            "api_key": job.api_key,
            "expect_identity": identity,
            "timeout": job.timeout_s,
        },
        batch_format="pyarrow",
        batch_size=job.window,
        compute=ActorPoolStrategy(min_size=1, max_size=workers),
        num_cpus=_SHARE,
    )
    try:
        scores.write_parquet(str(job.output.resolve()), ray_remote_args={"num_cpus": _SHARE})
    except ray.exceptions.RayError as error:
        raise _cause(error) from error


def _cause(error: BaseException) -> RewardClientError:
    """What a worker raised, out of what Ray wrapped around it."""
    inner = getattr(error, "cause", None)
    if isinstance(inner, RewardClientError):
        return inner
    return BulkError(
        f"Ray gave up: {error}. What was measured is kept; run the same command again to go on", code="ray_failed"
    )


@contextmanager
def _connected(address: str) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Two CPUs at least: with one, Ray Data's checkpoints leave none for the reading.
        ray.init("local", num_cpus=max(2, os.cpu_count() or 1), include_dashboard=False)
    else:
        ray.init(address)
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _context(path: Path) -> Iterator[None]:
    context = DataContext.get_current()
    before = context.checkpoint_config, context.raise_original_map_exception
    # Or a worker's error would arrive as text alone.
    context.raise_original_map_exception = True
    context.checkpoint_config = CheckpointConfig(
        id_column="row", checkpoint_path=str(path.resolve()), delete_checkpoint_on_success=False
    )
    try:
        yield
    finally:
        context.checkpoint_config, context.raise_original_map_exception = before


def _rows_in(output: Path) -> int:
    if not output.is_dir() or not any(output.glob("*.parquet")):
        return 0
    return int(pds.dataset(output, format="parquet").count_rows())


def _tables(output: Path) -> Iterator[pa.Table]:
    for batch in pds.dataset(output, format="parquet").to_batches(columns=["outcome", "reward"]):
        yield pa.Table.from_batches([batch])
