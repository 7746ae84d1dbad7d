"""Scoring on Ray: two worker nodes, the shipped judge; workers die, runs are interrupted, no row is lost or doubled."""

from __future__ import annotations

import asyncio
import json
import runpy
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.parquet as pq
import pytest
import ray
from PIL import Image
from ray.cluster_utils import Cluster

from edit_rrm.verdicts import Aggregation, Mode
from edit_rrm_client import ApiStatusError, AsyncRewardClient
from edit_rrm_client.bulk.columns import Columns
from edit_rrm_client.bulk.errors import BulkError
from edit_rrm_client.bulk.judging import How
from edit_rrm_client.bulk.ray_data import ParquetEdits, RewardBatches
from edit_rrm_client.bulk.ray_run import RayJob, score_on_ray
from edit_rrm_client.bulk.reading import Input
from edit_rrm_client.bulk.scoring import Job, score_file
from edit_rrm_client.bulk.summary import Summary
from edit_rrm_client.images import encode_image
from tests.cli.command import edit_rrm
from tests.client.bulk.killing import KilledOnce
from tests.client.fake_service import judgement, judging_service

EXAMPLES = Path(__file__).parents[3] / "client" / "edit_rrm_client" / "examples"
ROWS = 40

pytestmark = [
    pytest.mark.slow,
    # Ray Data warns of its own defaults when it makes its context.
    pytest.mark.filterwarnings("ignore:.* is deprecated:DeprecationWarning:ray[.]data[.]context"),
    pytest.mark.filterwarnings("ignore:`target_shuffle_max_block_size` is deprecated:UserWarning:ray[.]data[.]context"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head without a CPU for us, and two workers of one each."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        node = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **node})
        for _ in range(2):
            cluster.add_node(num_cpus=1, **node)
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


def edits(folder: Path, rows: int = ROWS) -> Path:
    """Two files of edits, groups of four; one row of each ten has no image."""
    folder.mkdir()
    images = [(EXAMPLES / f"{name}.png").read_bytes() for name in ("good", "collateral", "untouched")]
    source = encode_image(EXAMPLES / "source.png")
    table = pa.table(
        {
            "id": [f"edit-{row}" for row in range(rows)],
            "instruction": [
                "make the red star blue" if row // 4 % 2 else "turn the red star blue" for row in range(rows)
            ],
            "source": [source] * rows,
            "edited": pa.array([None if row % 10 == 9 else images[row % 3] for row in range(rows)], pa.binary()),
        }
    )
    for name, begin, end in (("a", 0, rows // 4), ("b", rows // 4, rows)):
        pq.write_table(table.slice(begin, end - begin), folder / f"{name}.parquet", row_group_size=8)
    return folder


def rows_of(output: Path) -> list[dict[str, Any]]:
    table = pds.dataset(output, format="parquet").to_table()
    return sorted(table.drop_columns(["request_id"]).to_pylist(), key=lambda row: int(row["row"]))


def requests(url: str) -> int:
    """Edits that a service has judged so far."""
    lines = httpx2.get(f"{url}/metrics").text.splitlines()
    return sum(round(float(line.split()[-1])) for line in lines if line.startswith("edit_rrm_outcomes_total{"))


async def on_one_machine(service: str, job: Job) -> Summary:
    async with AsyncRewardClient(service, expect_identity="first") as client:
        return await score_file(job, client)


@pytest.mark.vllm
def test_two_nodes_score_what_one_machine_scores(service: str, cluster: Cluster, tmp_path: Path) -> None:
    data = edits(tmp_path / "edits")
    keep = Columns(keep=("id",))
    here = asyncio.run(on_one_machine(service, Job(data, tmp_path / "here.parquet", keep, window=8)))
    job = RayJob(data, tmp_path / "scores", (service,), keep, window=8, workers=2)
    summary = score_on_ray(job)
    assert (summary.rows, summary.asked, summary.outcomes) == (ROWS, ROWS, {"scored": 36, "bad_image": 4})
    assert summary.outcomes == here.outcomes
    assert summary.identity == here.identity
    assert summary.mean_reward == pytest.approx(here.mean_reward, abs=0.02)
    found, expected = rows_of(job.output), pq.read_table(tmp_path / "here.parquet").to_pylist()
    assert [(row["row"], row["id"], row["outcome"]) for row in found] == [
        (row["row"], row["id"], row["outcome"]) for row in expected
    ]
    # The same command again asks nothing; another one is refused.
    again = score_on_ray(job)
    assert (again.rows, again.asked) == (ROWS, 0)
    with pytest.raises(BulkError, match="keep was id and is"):
        score_on_ray(RayJob(data, job.output, (service,)))


def test_a_worker_that_is_killed_loses_and_doubles_nothing(cluster: Cluster, tmp_path: Path) -> None:
    data, output = edits(tmp_path / "edits"), tmp_path / "scores"
    with judging_service(lambda _: judgement(7.0)) as url:
        opened = Input.open(data, Columns(keep=("id",)))
        scores = ray.data.read_datasource(ParquetEdits(opened, 8), num_cpus=0.25).map_batches(
            KilledOnce,
            fn_constructor_kwargs={"marker": str(tmp_path / "killed"), "url": url, "columns": None},
            batch_format="pyarrow",
            batch_size=8,
            compute=ray.data.ActorPoolStrategy(min_size=2, max_size=2),
            num_cpus=0.25,
        )
        scores.write_parquet(str(output), ray_remote_args={"num_cpus": 0.25})
    assert (tmp_path / "killed").exists()
    found = rows_of(output)
    assert [row["row"] for row in found] == list(range(ROWS))
    assert sum(row["outcome"] == "scored" for row in found) == 36


def test_an_interrupted_run_goes_on_with_what_is_missing(cluster: Cluster, tmp_path: Path) -> None:
    data = edits(tmp_path / "edits")
    with judging_service(lambda _: judgement(7.0)) as url:
        job = RayJob(data, tmp_path / "scores", (url,), Columns(keep=("id",)), window=8, workers=1)
        first = score_on_ray(job)
        before = requests(url)
        # As if it had been killed after some blocks were written: one file and its checkpoint are lost.
        name = sorted(job.output.glob("*.parquet"))[0]
        lost = pq.read_metadata(name).num_rows
        (tmp_path / "scores.run" / "checkpoint" / name.name.replace("-0.parquet", ".parquet")).unlink()
        name.unlink()
        second = score_on_ray(job)
        assert second.asked == lost < first.asked
        assert requests(url) - before <= lost
    assert [row["row"] for row in rows_of(job.output)] == list(range(ROWS))


def test_what_a_worker_cannot_do_is_told_as_it_is_here(cluster: Cluster, tmp_path: Path) -> None:
    data = edits(tmp_path / "edits")
    with judging_service(lambda _: judgement(7.0)) as url:
        wrong = RayJob(data, tmp_path / "scores", (url,), Columns("prompt"))
        with pytest.raises(BulkError, match="no column 'prompt'"):
            score_on_ray(wrong)
        # What only the service knows comes back from the worker as the client's own error.
        unfit = RayJob(data, tmp_path / "scores", (url,), how=How(Mode.THINK, Aggregation.MODEL, samples=17))
        with pytest.raises(ApiStatusError, match="samples") as caught:
            score_on_ray(unfit)
        assert not isinstance(caught.value, ray.exceptions.RayError)
        assert caught.value.code == "invalid_request"


def test_the_example_is_a_step_of_a_pipeline(cluster: Cluster, tmp_path: Path) -> None:
    data, best = edits(tmp_path / "edits"), tmp_path / "best"
    with Image.open(EXAMPLES / "good.png") as image:
        good = image.convert("RGB").tobytes()
    example = runpy.run_path(str(EXAMPLES.parents[2] / "examples" / "bulk_ray.py"))
    with judging_service(lambda image: judgement(9.0 if image.tobytes() == good else 4.0)) as url:
        example["main"](url, str(data), str(best))
    found = pds.dataset(best, format="parquet").to_table().to_pylist()
    assert sorted(row["id"] for row in found) == sorted(
        f"edit-{row}" for row in range(ROWS) if row % 3 == 0 and row % 10 != 9
    )
    assert {row["score"] for row in found} == {9.0}


def test_arrays_are_batches_too() -> None:
    images = np.array([(EXAMPLES / f"{name}.png").read_bytes() for name in ("source", "good")], object)
    batch = {"prompt": np.array(["x", "y"]), "source": images, "edited": images, "row": np.array([7, 8])}
    with (
        judging_service(lambda _: judgement(7.0)) as url,
        closing(RewardBatches(url, columns=Columns("prompt"))) as judge,
    ):
        found = judge(batch)
    assert found["row"].to_pylist() == [7, 8]
    assert found["reward"].to_pylist() == [0.7, 0.7]


def test_the_command_line_brings_a_cluster_of_its_own(tmp_path: Path) -> None:
    data, output = edits(tmp_path / "edits"), tmp_path / "scores"
    with judging_service(lambda _: judgement(7.0)) as url:
        done = edit_rrm(
            *("score", "--url", url, "--input", str(data), "--output", str(output)),
            *("--ray", "local", "--keep", "id", "--window", "8", "--json"),
        )
    assert done.returncode == 1
    assert json.loads(done.stdout)["outcomes"] == {"scored": 36, "bad_image": 4}
    assert done.stderr.splitlines()[-1] == "edit-rrm: 4 of 40 rows were not scored: 4 bad_image"
    assert [row["row"] for row in rows_of(output)] == list(range(ROWS))
