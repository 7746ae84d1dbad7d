"""`edit-rrm data cold-start` as a user runs it."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import Dataset, Features, Value
from datasets import Image as ImageFeature
from starlette.requests import Request
from starlette.responses import Response
from typer.testing import CliRunner, Result

from edit_rrm.grammar import format_principles
from edit_rrm_training.cli import data_app
from tests.engines.fake_openai import FakeServer, failing, good, running, text_of
from tests.training.cold_start.people import PRINCIPLES, gold, judgement, png

FEATURES = Features({"instruction": Value("string"), "source": ImageFeature(), "edited": ImageFeature()})


def cold_start(*arguments: str | Path) -> Result:
    return CliRunner().invoke(data_app, ["cold-start", *map(str, arguments)], env={"COLUMNS": "200"})


def shapes(out: Path, *more: str, n: int = 40) -> Result:
    return cold_start("--data", "shapes:train", "--n", str(n), "--teachers", "noisy", "--out", out, *more)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    out = tmp_path_factory.mktemp("run")
    return out, shapes(out, "--json")


def test_the_verifier_makes_verdicts_truer(run: tuple[Path, Result]) -> None:
    out, result = run
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report == json.loads((out / "report.json").read_text())
    assert report["written"]["judge"] == report["rows"]["selected"]
    assert report["input"]["hard"] == report["input"]["random"] == 20
    found = report["truthfulness"]
    with_verifier, without = found["closest_to_gold"]["accuracy"], found["first_that_parses"]["accuracy"]
    assert with_verifier["low"] > without["high"], "the intervals are apart at 40 rows already"
    assert with_verifier["total"] == without["total"]
    assert found["best_candidate"]["accuracy"]["value"] >= with_verifier["value"]
    assert found["gold"]["accuracy"]["value"] < 1.0, "the verifier errs, too"


def test_the_same_command_again_asks_nobody_and_changes_nothing(run: tuple[Path, Result]) -> None:
    out, first = run
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert shapes(out, "--json").stdout == first.stdout
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_the_unverified_selection_stands_beside_it(run: tuple[Path, Result]) -> None:
    out, _ = run
    result = shapes(out, "--no-verifier")
    assert result.exit_code == 0, result.output
    assert "without verifier" in result.stdout
    assert str(out / "dataset-unverified") in result.stdout
    assert (out / "dataset" / "judge" / "00000.parquet").is_file()
    assert (out / "dataset-unverified" / "judge" / "00000.parquet").is_file()


def test_another_number_of_rows_is_refused(run: tuple[Path, Result]) -> None:
    result = shapes(run[0], n=41)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "n: 40 -> 41" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--data", "shapes:train", "--teachers", "noisy"), "say how many with --n"),
        (("--data", "shapes:nowhere", "--n", "3", "--teachers", "noisy"), "no split 'nowhere'"),
        (("--data", "nothing.parquet", "--n", "3", "--teachers", "noisy"), "no input nothing.parquet"),
        (("--data", "shapes:train", "--n", "3", "--teachers", "loud"), "no teachers 'loud'"),
    ],
)
def test_wrong_arguments_are_one_line(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    result = cold_start(*arguments, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert told in result.stderr
    assert result.stderr.startswith("edit-rrm: ")
    assert "Traceback" not in result.output


def test_a_full_disk_is_one_line_and_a_rerun_goes_on(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, hard))
    try:
        result = shapes(tmp_path, n=20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr.splitlines()[-1]
    assert "run the same command again" in result.stderr.splitlines()[-1]
    again = shapes(tmp_path, "--json", n=20)
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["rows"] == {"selected": 20}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with running() as fake:
        yield fake


async def teaching(request: Request, body: dict[str, Any]) -> Response:
    """Answer by what is asked."""
    asked = text_of(body)
    if "Checklists that experts wrote" in asked:
        return good(body, format_principles(PRINCIPLES))
    if "Several inspectors" in asked:
        return good(body, gold())
    return good(body, judgement() if body["temperature"] < 1.0 else "Wonderful! 10/10")


@pytest.fixture
def hosted(server: FakeServer, tmp_path: Path) -> tuple[Path, Path]:
    """A dataset with one bad row, and teachers on a host."""
    server.script.clear()
    server.usual = teaching
    rows = [
        {"instruction": f"make it {n}", "source": {"bytes": png("red")}, "edited": {"bytes": png((n, 0, 0))}}
        for n in range(4)
    ]
    rows[2]["edited"] = {"bytes": b"no image"}
    data, teachers = tmp_path / "edits.parquet", tmp_path / "teachers.yaml"
    Dataset.from_list(rows, features=FEATURES).to_parquet(str(data))
    vlm = {"kind": "openai", "base_url": server.url, "model": "m", "retries": 0, "budget_s": 20}
    config = {
        "prompts": "standard",
        "teachers": {"vlm": vlm},
        "principles": {"teacher": "vlm", "temperature": 0.5},
        "candidates": [
            {"teacher": "vlm", "variant": "plain", "temperature": 0.7},
            {"teacher": "vlm", "variant": "regions", "temperature": 1.3},
        ],
        "verifier": {"teacher": "vlm", "temperature": 0.0},
    }
    teachers.write_text(yaml.safe_dump(config))
    return data, teachers


def test_a_hosted_teacher_on_a_dataset_of_ones_own(hosted: tuple[Path, Path], tmp_path: Path) -> None:
    data, teachers = hosted
    result = cold_start("--data", data, "--teachers", teachers, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["input"] == {"bad_image": 1, "random": 3}
    assert report["teachers"] == {"vlm": 3}
    assert report["candidates"] == {"missing_verdicts": 3, "parsed": 3}
    assert report["rows"] == {"selected": 3}
    assert report["truthfulness"] is None
    assert "input ended" not in result.output
    short = cold_start("--data", data, "--n", "9", "--teachers", teachers, "--out", tmp_path / "short")
    assert "the input ended before 9 rows of the mix were found: 3 taken" in short.stdout
    manifest = json.loads((tmp_path / "out" / "run.json").read_text())
    assert "base_url" not in json.dumps(manifest)


def test_a_host_that_goes_away_is_one_line(hosted: tuple[Path, Path], server: FakeServer, tmp_path: Path) -> None:
    data, teachers = hosted
    server.usual = failing(503, "no capacity")
    result = cold_start("--data", data, "--teachers", teachers, "--out", tmp_path / "out")
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"edit-rrm: teacher vlm at {server.url}: HTTP 503")
    assert last.endswith("finished rows are kept: run the same command again to go on")
    server.usual = teaching
    assert cold_start("--data", data, "--teachers", teachers, "--out", tmp_path / "out").exit_code == 0
