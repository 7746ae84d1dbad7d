"""Scores a file with an instant judge and prints by how many MiB the process's peak grew meanwhile."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from edit_rrm_client.bulk.columns import Columns
from edit_rrm_client.bulk.scoring import Job, score_file
from tests.client.bulk.edits import RednessJudge, written
from tests.client.steps import scored


class Forgetful(RednessJudge):
    """Remembers nothing, so that only the run itself is measured."""

    async def rewards(self, *asked: object, **how: object) -> object:  # type: ignore[override]  # only to forget
        answer = await super().rewards(*asked, **how)  # type: ignore[arg-type]  # passed on as they came
        self.asked.clear()
        return answer


def peak_mib() -> float:
    """The process's own; `getrusage` would tell that of the process it was forked from."""
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index("VmHWM:") + 1]) / 1024


def main(path: Path, window: int) -> None:
    def run(input_: Path) -> None:
        job = Job(input_, input_.with_suffix(".scores"), Columns(keep=("id",)), window=window)
        asyncio.run(score_file(job, Forgetful(lambda _: scored(5.0))))  # type: ignore[arg-type]  # see Forgetful

    # What libraries allocate once is no part of it.
    run(written(path.with_name("small.parquet"), 600))
    before = peak_mib()
    run(path)
    print(round(peak_mib() - before, 1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
