"""`edit-rrm eval pairs` against the real service with a scripted judge: every format, resuming, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from edit_rrm.card import JudgeCard
from edit_rrm.prompts import load_prompt_set
from edit_rrm_service.app import create_app
from edit_rrm_service.auth import hash_key
from edit_rrm_service.settings import Settings
from edit_rrm_service.state import LoadedJudge
from edit_rrm_training.cli import eval_app
from tests.client.fake_service import ScriptedEngine, judgement, judging_service, running
from tests.engines import fake_openai
from tests.training.pairs.datasets_on_disk import (
    NO_IMAGE,
    cell,
    editscore_row,
    genai_row,
    tiger_row,
    write_arrow,
    write_parquet,
)

KEY = "a-key-of-ours"
SCORES = {(0, 0, 255): 9.0, (0, 128, 0): 4.0, (0, 0, 0): 4.0}
"""What the scripted judge gives blue, green and black edits; of any other it writes nothing that can be read."""


def answer(edited: Image.Image) -> str:
    pixel = edited.getpixel((0, 0))
    return judgement(SCORES[pixel]) if pixel in SCORES else "I cannot say"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with judging_service(answer, api_key_hashes=(hash_key(KEY),)) as started:
        yield started


@pytest.fixture(scope="module")
def other_url() -> Iterator[str]:
    """A service whose judge has other prompts, and so another identity."""
    judge = LoadedJudge(ScriptedEngine(answer), JudgeCard(name="other"), load_prompt_set("standard"))
    with running(create_app(Settings(sentinels="off"), loader=lambda _: judge)) as started:
        yield started


Run = Callable[..., Any]


@pytest.fixture
def run(url: str) -> Run:
    def call(*arguments: str, status: int = 0, at: str = url) -> Any:
        result = CliRunner().invoke(eval_app, ["pairs", "--url", at, "--api-key", KEY, *arguments])
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return json.loads(result.stdout) if "--json" in arguments and status == 0 else result.output

    return call


def editscore(folder: Path) -> str:
    rows = [editscore_row(dimension=name) for name in ("overall", "consistency")]
    rows += [editscore_row(cell("green"), cell("black"), instruction="x", task_type="extract")]
    rows += [editscore_row(cell("white"), cell("black"), instruction="y", task_type="extract")]
    rows += [editscore_row(NO_IMAGE, instruction="z")]
    return f"editscore:{write_arrow(folder / 'bench', rows)}"


def test_editscore(run: Run, tmp_path: Path) -> None:
    report = run("--data", editscore(tmp_path), "--json")
    overall = report["by_dimension"]["overall"]
    assert {name: overall[name] for name in ("right", "wrong", "tied", "unscored")} == {
        "right": 1,
        "wrong": 0,
        "tied": 1,
        "unscored": 1,
    }
    assert overall["mean_over_categories"]["value"] == 0.5
    assert report["by_dimension"]["consistency"]["accuracy"]["value"] == 1.0
    assert report["outcomes"] == {"scored": 5, "unparsable": 1}
    assert report["rows"]["dropped"] == {"missing_image": 1}
    assert report["judge"] == "scripted"
    assert len(report["identity"]) == 64


@pytest.mark.parametrize(("ties", "value"), [("wrong", 0.5), ("half", 0.75), ("drop", 1.0)])
def test_ties(ties: str, value: float, run: Run, tmp_path: Path) -> None:
    report = run("--data", editscore(tmp_path), "--ties", ties, "--json")
    assert report["by_dimension"]["overall"]["accuracy"]["value"] == value
    assert report["ties"] == ties


def test_tiger(run: Run, tmp_path: Path) -> None:
    three = {"dataset": "3pair", "id": "xyz", "instruction": "three"}
    rows = [
        tiger_row(),
        tiger_row("green", "black", "A=B", instruction="tie"),
        tiger_row("blue", "green", "A>B", **three),
        tiger_row("blue", "black", "A>C", comparison_type="AvsC", **three),
        tiger_row("green", "black", "B>C", comparison_type="BvsC", **three),
    ]
    for number, row in enumerate(rows[2:]):
        write_parquet(tmp_path / "3pair" / f"{number}.parquet", [row])
    write_parquet(tmp_path / "2pair" / "0.parquet", rows[:2])
    report = run("--data", f"tiger:{tmp_path}", "--json")
    rankings = report["rankings"]
    assert {name: (part["right"], part["wrong"]) for name, part in rankings.items()} == {
        "2": (2, 0),
        "3": (0, 1),
        "all": (2, 1),
    }
    assert report["human_ties"]["agreed"]["value"] == 1.0
    assert report["pairs"]["right"] == 3
    assert report["pairs"]["tied"] == 1


def test_genai(run: Run, tmp_path: Path) -> None:
    rows = [
        genai_row("leftvote"),
        genai_row("rightvote", instruct_prompt="two"),
        genai_row("bothbad_vote", instruct_prompt="three"),
        genai_row("leftvote", instruct_prompt="four"),
        genai_row("rightvote", instruct_prompt="four"),
        genai_row("leftvote", instruct_prompt="two", source_image=NO_IMAGE),
    ]
    report = run("--data", f"genai:{write_parquet(tmp_path / 'x.parquet', rows)}", "--json")
    assert report["pairs"]["accuracy"]["value"] == 0.5
    assert report["human_ties"]["pairs"] == 1
    assert report["rows"]["dropped"] == {"contradictory": 2, "missing_image": 1}


def test_shapes_in_both_modes(run: Run) -> None:
    report = run("--data", "shapes:held-out", "--n", "5", "--mode", "probe", "--principles", "oracle", "--json")
    assert (report["data"], report["n"], report["principles"]) == ("shapes:held-out", 5, "oracle")
    # The scripted judge finds every probe equally likely, so it tells no edit from another.
    assert (report["pairs"]["tied"], report["pairs"]["accuracy"]["value"]) == (5, 0.0)


def test_scores_can_be_averaged(run: Run, tmp_path: Path) -> None:
    data = f"genai:{write_parquet(tmp_path / 'x.parquet', [genai_row()])}"
    out = tmp_path / "out"
    told = run("--data", data, "--samples", "3", "--aggregation", "mean", "--out", str(out))
    assert "(think, Avg@3, ties wrong)" in told
    line = json.loads((out / "results.jsonl").read_text())
    assert [result["spread"] for result in line["results"]] == [0.0, 0.0]
    # Both principles passed: what the verdicts say, not the 9 and the 4 that the judge wrote.
    assert [result["score"] for result in line["results"]] == [10.0, 10.0]


def test_a_table_for_people_and_files_to_keep(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told = run("--data", editscore(tmp_path), "--out", str(out))
    for piece in ("scripted (think, ties wrong)", "50.00%", "dropped: 1 missing_image", "6 edits in 3 groups"):
        assert piece in told
    page, report = (out / "report.md").read_text(), json.loads((out / "report.json").read_text())
    assert "| overall, mean over 2 categories | 50.00% |" in page
    assert report["by_dimension"]["overall"]["mean_over_categories"]["value"] == 0.5
    files = {"run.json", "results.jsonl", "report.json", "report.md", "pairs.jsonl", "pictures"}
    assert {file.name for file in out.iterdir()} == files
    assert len((out / "pairs.jsonl").read_text().splitlines()) == report["rows"]["used"]


def test_a_run_that_was_killed_goes_on(run: Run, tmp_path: Path) -> None:
    data, out = editscore(tmp_path), str(tmp_path / "out")
    whole = run("--data", data, "--out", out, "--json")
    results = tmp_path / "out" / "results.jsonl"
    before = results.read_bytes()
    results.write_bytes(before[: before.index(b"\n") + 20])
    assert run("--data", data, "--out", out, "--json") == whole
    assert results.read_bytes().startswith(before[: before.index(b"\n") + 1])
    assert sorted(results.read_bytes().splitlines()) == sorted(before.splitlines())
    assert run("--data", data, "--out", out, "--ties", "half", "--json")["ties"] == "half", "moves no score"


def test_other_arguments_do_not_go_on(run: Run, tmp_path: Path) -> None:
    data, out = editscore(tmp_path), str(tmp_path / "out")
    run("--data", data, "--out", out)
    told = run("--data", data, "--out", out, "--mode", "probe", status=1)
    assert 'has results of another run: mode was "think", is "probe"; choose another folder' in told.splitlines()[-1]
    told = run("--data", data, "--out", out, "--n", "2", status=1)
    assert "n was 5, is 2" in told.splitlines()[-1]


def test_another_judge_does_not_go_on(run: Run, other_url: str, tmp_path: Path) -> None:
    data, out = editscore(tmp_path), str(tmp_path / "out")
    run("--data", data, "--out", out)
    told = run("--data", data, "--out", out, at=other_url, status=1)
    assert "identity was" in told.splitlines()[-1]


def test_other_data_do_not_go_on(run: Run, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    one = write_parquet(tmp_path / "one.parquet", [genai_row("leftvote")])
    two = write_parquet(tmp_path / "two.parquet", [genai_row("rightvote")])
    run("--data", f"genai:{one}", "--out", out)
    one.rename(tmp_path / "moved.parquet")
    run("--data", f"genai:{tmp_path / 'moved.parquet'}", "--out", out)
    told = run("--data", f"genai:{two}", "--out", out, status=1)
    assert "data_fingerprint was" in told.splitlines()[-1]


def test_wrong_columns_are_one_line(run: Run, tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", [tiger_row()])
    told = run("--data", f"editscore:{path}", status=1)
    assert told.splitlines()[-1].endswith(
        "x.parquet has no column input_image, output_images, task_type, dimension; it has id, dataset, instruction, "
        "source_image, candidate_1, candidate_2, comparison_type, ranking"
    )


def test_data_that_are_not_there_say_where_to_get_them(run: Run, tmp_path: Path) -> None:
    told = run("--data", f"tiger:{tmp_path / 'nowhere'}", status=1)
    assert "is not there; docs/evaluation.md says how to download each benchmark" in told.splitlines()[-1]


def test_no_row_that_can_be_used_is_one_line(run: Run, tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", [genai_row("upvote"), genai_row(source_image=NO_IMAGE)])
    told = run("--data", f"genai:{path}", status=1)
    assert told.splitlines()[-1].endswith("none of 2 rows can be used (missing_image, unknown_preference)")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--data", "other:x"], "--data: 'other:x' is none of shapes:SPLIT, editscore:PATH, tiger:PATH, genai:PATH"),
        (["--data", "shapes:test"], "--data: no split 'test'; there are: train, validation, held-out"),
        (["--data", "genai:.", "--principles", "oracle"], "--data: genai has no oracle"),
        (["--mode", "guess"], "'--mode': 'guess' is none of think, probe"),
        (["--aggregation", "max"], "'--aggregation': 'max' is none of model, mean, weighted, geometric, min, product"),
        (["--principles", "mine"], "'--principles': 'mine' is none of decomposed, oracle"),
        (["--ties", "right"], "'--ties': 'right' is none of wrong, half, drop"),
        (["--engine", "tensorrt"], "'--engine': 'tensorrt' is none of auto, vllm, transformers, openai"),
        (["--engine", "openai"], "'--engine': openai needs --base-url and --model"),
        (["--base-url", "http://x"], "'--base-url': it goes with --engine openai, and without --url"),
        (["--mode", "probe", "--samples", "4"], "'--samples': probes are not sampled"),
        (["--mode", "probe", "--aggregation", "model"], "'--aggregation': probes write no score"),
        (["--samples", "17"], "--samples"),
        (["--n", "0"], "--n"),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_started(arguments: list[str], told: str) -> None:
    result = CliRunner().invoke(eval_app, ["pairs", *arguments])
    assert result.exit_code == 2
    assert told.replace("'", "") in " ".join(result.output.split()).replace("'", "")


def test_a_wrong_key_is_one_line(url: str) -> None:
    result = CliRunner().invoke(eval_app, ["pairs", "--url", url, "--api-key", "another", "--n", "2"])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("edit-rrm: unauthorised: ")


def test_a_hosted_judge_that_says_nothing_useful_has_outcomes_and_no_accuracy() -> None:
    with fake_openai.running() as server:
        where = ("--engine", "openai", "--base-url", server.url, "--model", fake_openai.MODEL)
        result = CliRunner().invoke(eval_app, ["pairs", "--n", "3", "--principles", "oracle", *where, "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert server.hits() >= 6, "one for every edit, and what the service asks when it starts"
    assert report["outcomes"] == {"unparsable": 6}
    assert report["pairs"]["accuracy"]["value"] is None
    assert report["pairs"]["accuracy_unscored_wrong"]["value"] == 0.0


@pytest.mark.slow
def test_the_shipped_judge_is_better_than_a_coin(tmp_path: Path) -> None:
    """The whole way: a service started for the occasion, the real judge, a report; and a second run asks nothing."""
    arguments = ["pairs", "--data", "shapes:held-out", "--n", "20", "--engine", "transformers", "--json"]
    result = CliRunner().invoke(eval_app, [*arguments, "--out", str(tmp_path), "--workers", "4"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["outcomes"]["scored"] >= 36
    assert report["pairs"]["right"] > report["pairs"]["wrong"]
    size = (tmp_path / "results.jsonl").stat().st_size
    again = CliRunner().invoke(eval_app, [*arguments, "--out", str(tmp_path)])
    assert json.loads(again.stdout) == report
    assert (tmp_path / "results.jsonl").stat().st_size == size
