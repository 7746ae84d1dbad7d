"""`edit-rrm score --input` as a user runs it, against the real service with a scripted judge; also killed midway."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from edit_rrm_service.auth import hash_key
from edit_rrm_service.cli import app
from tests.client.bulk.edits import read, table
from tests.client.fake_service import judgement, judging_service

KEY = "a-key-of-ours"


def answer(edited: Image.Image) -> str:
    pixel = edited.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return judgement(pixel[0] / 25.5) if pixel[0] else "[/b] I cannot say"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with judging_service(answer, api_key_hashes=(hash_key(KEY),)) as started:
        yield started


def edits(folder: Path, rows: int) -> Path:
    """Edits of 32 pixels, which is what the service takes at least."""
    for red in range(11):
        Image.new("RGB", (32, 32), (red * 25, 0, 0)).save(folder / f"{red}.png")
    small = table(rows)
    small = small.set_column(
        2, "before", pa.array([(folder / f"{row // 4 % 11}.png").read_bytes() for row in range(rows)])
    )
    small = small.set_column(3, "edited", pa.array([f"{row % 10 + 1}.png" for row in range(rows)]))
    path = folder / "edits.parquet"
    pq.write_table(small.rename_columns(["id", "prompt", "before", "edited"]), path)
    return path


def arguments(url: str, path: Path, output: Path, *more: str) -> list[str]:
    names = ("--columns", "instruction=prompt,source=before", "--keep", "id")
    return ["score", "--url", url, "--api-key", KEY, "--input", str(path), "--output", str(output), *names, *more]


def score(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


def test_a_file_is_scored_and_summed_up(url: str, tmp_path: Path) -> None:
    path, output = edits(tmp_path, 50), tmp_path / "scores.parquet"
    status, out, _ = score(*arguments(url, path, output, "--json", "--window", "16"))
    assert status == 0
    summary = json.loads(out)
    assert (summary["rows"], summary["scored"], summary["asked"], summary["outcomes"]) == (50, 50, 50, {"scored": 50})
    schema = pq.read_schema(output)
    assert schema.names == [
        *("id", "row", "score", "reward", "outcome", "error_code", "error_message"),
        *("verdicts", "reasoning", "identity", "request_id"),
    ]
    rows = read(output, without=())
    assert summary["mean_reward"] == pytest.approx(sum(row["reward"] for row in rows) / 50)
    assert summary["identity"] == rows[0]["identity"]
    assert rows[0]["verdicts"][0] == {
        "question": "Is the star blue?",
        "category": "instruction_following",
        "passed": True,
        "probability": None,
        "rationale": "was red, is blue",
    }
    assert all(row["request_id"] for row in rows)
    status, out, _ = score(*arguments(url, path, output))
    assert status == 0
    assert "scores.parquet: 50 of 50 rows scored, mean reward 0.5" in out
    assert "0 asked" in out


def test_what_was_not_scored_is_told_and_fails_the_command(url: str, tmp_path: Path) -> None:
    path, output = edits(tmp_path, 20), tmp_path / "scores.parquet"
    Image.new("RGB", (32, 32), "black").save(tmp_path / "3.png")
    (tmp_path / "4.png").write_bytes(b"no image")
    (tmp_path / "5.png").unlink()
    status, out, told = score(*arguments(url, path, output))
    assert status == 1
    assert "14 of 20 rows scored" in out
    assert "edit-rrm: 6 of 20 rows were not scored: 4 bad_image, 2 unparsable" in told
    assert "--retry-failed" not in told
    failed = [row for row in read(output) if row["outcome"] != "scored"]
    assert [row["row"] for row in failed] == [2, 3, 4, 12, 13, 14]
    assert [row["error_code"] for row in failed] == ["unparsable", "bad_image", "unreadable_image"] * 2
    assert all(row["error_message"] and row["reward"] is None and row["verdicts"] is None for row in failed)


def test_killed_at_any_moment_it_goes_on_to_the_same_end(url: str, tmp_path: Path) -> None:
    path, whole, output = edits(tmp_path, 600), tmp_path / "whole.parquet", tmp_path / "scores.parquet"
    assert score(*arguments(url, path, whole, "--json", "--window", "8"))[0] == 0
    command = [
        sys.executable,
        "-m",
        "edit_rrm_service",
        *arguments(url, path, output, "--window", "8", "--in-flight", "2"),
    ]
    kills = 0
    for more in (2, 20):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        parts = tmp_path / "scores.parquet.run"
        before = len(list(parts.glob("part-*.parquet")))
        deadline = time.monotonic() + 30.0
        while process.poll() is None and len(list(parts.glob("part-*.parquet"))) < before + more:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills == 2
    assert not output.exists()
    status, out, _ = score(*arguments(url, path, output, "--json"))
    assert status == 0
    assert 0 < json.loads(out)["asked"] <= 600 - 22 * 8
    assert read(output) == read(whole)
    assert sorted(one.name for one in tmp_path.glob("scores*")) == ["scores.parquet"]


def test_errors_are_one_line(url: str, tmp_path: Path) -> None:
    path, output = edits(tmp_path, 4), tmp_path / "scores.parquet"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    cases = {
        "did not answer": arguments(nobody, path, output),
        "has no column 'instruction'": arguments(url, path, output, "--columns", ""),
        "unauthorised": arguments(url, path, output, "--api-key", "another"),
        "names no column": arguments(url, path, output, "--columns", "prompt"),
    }
    for piece, command in cases.items():
        status, out, told = score(*command)
        assert (status, out) == (1, "")
        assert told.startswith("edit-rrm: ")
        assert piece in told
        assert not output.exists()


def test_mixtures_of_one_edit_and_a_file_are_told(tmp_path: Path) -> None:
    path = edits(tmp_path, 4)
    cases = {
        "'--output': is missing": ["--input", str(path)],
        "the file has the edits, so --edited is not wanted": ["--input", str(path), "-e", str(path)],
        "--output: goes with --input only": ["-i", "x", "-s", str(path), "-e", str(path), "--output", "x"],
        "--fresh: goes with --input only": ["-i", "x", "-s", str(path), "-e", str(path), "--fresh"],
        "--input: missing.parquet is not there": ["--input", "missing.parquet", "--output", "x"],
        "'--instruction': is missing; or name a file": ["-s", str(path)],
        "--aggregation: 'sum' is none of model, mean": ["--input", str(path), "--output", "x", "--aggregation", "sum"],
        "--ray: workers of a cluster need --url": ["--input", str(path), "--output", "x", "--ray", "auto"],
        "--retry-failed: is for --output of one file": [
            *("--input", str(path), "--output", "x", "--ray", "local", "--retry-failed")
        ],
    }
    for piece, command in cases.items():
        status, _, told = score("score", *command)
        assert status == 2, told
        assert piece in told
