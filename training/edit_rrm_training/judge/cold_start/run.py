"""A whole cold start: open everything, do the steps, write the set and the report."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from edit_rrm.prompts import load_prompt_set
from edit_rrm_training.judge.cold_start.config import ColdStartConfig
from edit_rrm_training.judge.cold_start.dataset import JUDGE, write_dataset
from edit_rrm_training.judge.cold_start.errors import ColdStartError
from edit_rrm_training.judge.cold_start.exemplars import load_pool, pool_digest
from edit_rrm_training.judge.cold_start.folder import Steps, manifest_of, opened, suffix
from edit_rrm_training.judge.cold_start.pipeline import Pipeline, Progress
from edit_rrm_training.judge.cold_start.report import counts, truthfulness
from edit_rrm_training.judge.cold_start.rows import open_rows
from edit_rrm_training.judge.cold_start.teachers import hire

WRITING = "writing the set"


def cold_start(
    config: ColdStartConfig,
    data: str,
    out: Path,
    *,
    count: int | None = None,
    verified: bool = True,
    progress: Progress = lambda step, done, total: None,
) -> dict[str, Any]:
    """Make an SFT set from rows, or go on with one that was interrupted.

    Args:
        config: Teachers and settings.
        data: `shapes:SPLIT`, a parquet file, a folder of them, or a saved dataset.
        out: Folder of the run; see docs/cold-start.md.
        count: Rows to take; all where None.
        verified: Whether to have gold verdicts and select by them; else the first candidate that parses is kept.
        progress: Told how far each step is.

    Returns:
        The report, which is also written to `out`.

    Raises:
        ColdStartError: The run cannot go on; the message is one line for the user.
    """
    if verified and config.verifier is None:
        raise ColdStartError("the configuration names no verifier; name one, or run with --no-verifier")
    if count is None and config.mix.hard > 0.0:
        raise ColdStartError("mix.hard is a share of the rows to take: say how many with --n")
    rows = open_rows(data, config.columns)
    if count is None and rows.total is None:
        raise ColdStartError(f"{data} does not end: say how many rows to take with --n")
    pool = load_pool(config.principles.exemplars)
    if config.principles.exemplars_per_query > len(pool):
        raise ColdStartError(
            f"principles.exemplars_per_query: {config.principles.exemplars_per_query} cannot be drawn from a pool of"
            f" {len(pool)}"
        )
    manifest = manifest_of(config, data, count, pool_digest(pool), verified=verified)

    async def steps_of(steps: Steps) -> Pipeline:
        staff = hire(config, verified=verified)
        pipeline = Pipeline(config, rows, pool, staff, steps, count=count, verified=verified, progress=progress)
        try:
            await pipeline.run()
        finally:
            await staff.close()
        return pipeline

    try:
        with opened(out, manifest, verified=verified) as steps:
            pipeline = asyncio.run(steps_of(steps))
            selected = sum("candidate" in record for record in steps.selected.records())
            folder = out / f"dataset{suffix(verified)}"
            written = write_dataset(
                pipeline,
                steps,
                load_prompt_set(config.prompts),
                folder,
                verified=verified,
                progress=lambda done: progress(WRITING, done, selected),
            )
            report = {
                "dataset": str(folder),
                "verified": verified,
                "written": written,
                **counts(steps, verified=verified),
                "truthfulness": truthfulness(pipeline, steps),
            }
            assert written[JUDGE] == selected
            text = json.dumps(report, indent=2) + "\n"
            (out / f"report{suffix(verified)}.json").write_text(text, encoding="utf-8")
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise ColdStartError(
            f"{out}: {error.strerror or error}{where}; finished steps are intact: run the same command again"
        ) from None
    return report
