"""Scores as one step of a Ray Data pipeline: ``python examples/bulk_ray.py http://judge:8000 edits/ best/``.

Keeps the edits that are rewarded with 0.8 and more, as a filter of a training set would.
"""

from __future__ import annotations

import sys

import ray
from ray.data.expressions import col

from edit_rrm_client import RewardClient
from edit_rrm_client.bulk.columns import Columns
from edit_rrm_client.bulk.ray_data import RewardBatches


def main(url: str, source: str, target: str) -> None:
    """Score the edits of a folder, and write the good ones to another."""
    with RewardClient(url) as client:
        judge = client.identity().identity
    scores = ray.data.read_parquet(source).map_batches(
        RewardBatches,
        fn_constructor_kwargs={
            "url": url,
            "columns": Columns(keep=("id",)),
            # All workers are held to one judge.
            "expect_identity": judge,
        },
        batch_format="pyarrow",
        batch_size=512,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=4),
        num_cpus=0.25,
    )
    scores.filter(expr=col("reward") >= 0.8).write_parquet(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
