"""`edit-rrm score --input`: a file of edits, here or on Ray."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from edit_rrm_client import AsyncRewardClient, FailureBudgetError, RewardClientError
from edit_rrm_client.bulk.columns import Columns
from edit_rrm_client.bulk.judging import How
from edit_rrm_client.bulk.progress import shown
from edit_rrm_client.bulk.results import MAY_PASS
from edit_rrm_client.bulk.scoring import Job, score_file
from edit_rrm_client.bulk.summary import Summary
from edit_rrm_service.commands.terminal import fail

TIMEOUT_S = 600.0
"""That a group may take, tries and waits included; a service that is gone for less is waited for."""


@dataclass(frozen=True)
class FileRun:
    """What the command line asked for."""

    input: Path
    output: Path
    columns: str
    keep: str
    how: dict[str, Any]
    window: int
    in_flight: int
    fresh: bool
    retry_failed: bool
    api_key: str | None
    as_json: bool

    def here(self, urls: Sequence[str]) -> int:
        """Score on this machine; the exit status."""
        try:
            return self._told(asyncio.run(self._score(urls)))
        except KeyboardInterrupt:
            fail("interrupted; run the same command again to go on")
        except FailureBudgetError as error:
            fail(f"{error}. What was measured is kept; run the same command again to go on")
        except (RewardClientError, OSError) as error:
            fail(str(error))

    def on_ray(self, urls: Sequence[str], address: str) -> int:
        """Score on a Ray cluster; the exit status."""
        try:
            from edit_rrm_client.bulk.ray_run import RayJob, score_on_ray
        except ModuleNotFoundError as error:
            fail(str(error))
        job = RayJob(
            input=self.input,
            output=self.output,
            urls=tuple(urls),
            columns=self._columns(),
            how=How(**self.how),
            window=self.window,
            in_flight=self.in_flight,
            fresh=self.fresh,
            api_key=self.api_key,
            timeout_s=TIMEOUT_S,
        )
        try:
            return self._told(score_on_ray(job, address))
        except (RewardClientError, OSError) as error:
            fail(str(error))

    async def _score(self, urls: Sequence[str]) -> Summary:
        job = Job(
            input=self.input,
            output=self.output,
            columns=self._columns(),
            how=How(**self.how),
            window=self.window,
            in_flight=self.in_flight,
            fresh=self.fresh,
            retry_failed=self.retry_failed,
        )
        client = AsyncRewardClient(
            urls,
            api_key=self.api_key,
            timeout=TIMEOUT_S,
            max_in_flight=self.in_flight,
            expect_identity="first",
            priority="training",
        )
        async with client:
            with shown(Console(stderr=True), quiet=self.as_json) as progress:
                return await score_file(job, client, progress)

    def _columns(self) -> Columns:
        return Columns.parse(self.columns, self.keep)

    def _told(self, summary: Summary) -> int:
        """Print what came of it; the exit status."""
        if self.as_json:
            typer.echo(json.dumps(summary.to_dict(), indent=2))
        else:
            mean = "" if summary.mean_reward is None else f", mean reward {summary.mean_reward:.4f}"
            rate = "" if summary.rows_per_second is None else f" ({summary.rows_per_second:g} rows/s)"
            typer.echo(
                f"{self.output}: {summary.scored} of {summary.rows} rows scored{mean}; "
                f"{summary.asked} asked in {summary.seconds:.1f} s{rate}"
            )
        missing = summary.rows - summary.scored
        if missing:
            counts = ", ".join(f"{count} {name}" for name, count in summary.outcomes.items() if name != "scored")
            passing = sum(summary.outcomes.get(outcome.value, 0) for outcome in MAY_PASS)
            advice = f"; --retry-failed asks again for {passing} of them" if passing else ""
            typer.echo(f"edit-rrm: {missing} of {summary.rows} rows were not scored: {counts}{advice}", err=True)
        return 1 if missing else 0
