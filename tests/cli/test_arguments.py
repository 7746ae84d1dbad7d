"""Wrong arguments are told before anything is started: exit status 2, and the option at fault by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from edit_rrm_service.cli import app
from edit_rrm_training.cli import data_app, eval_app, train_app


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "picture.png"
    path.write_bytes(b"")
    return str(path)


def refused(typer_app: typer.Typer, *arguments: str) -> str:
    result = CliRunner().invoke(typer_app, arguments)
    assert result.exit_code == 2, result.output
    return " ".join(result.output.split())


@pytest.mark.parametrize("command", ["serve", "score", "identity"])
def test_an_unknown_engine(command: str, picture: str) -> None:
    needed = ("-i", "x", "-s", picture, "-e", picture) if command == "score" else ()
    told = refused(app, command, "--engine", "tensorrt", *needed)
    assert "'--engine': 'tensorrt' is none of auto, vllm, openai, transformers" in told


def test_an_unknown_mode(picture: str) -> None:
    told = refused(app, "score", "-i", "x", "-s", picture, "-e", picture, "--mode", "guess")
    assert "--mode: 'guess' is neither think nor probe" in told


def test_missing_files(picture: str, tmp_path: Path) -> None:
    told = refused(app, "score", "-i", "x", "-s", "missing.png", "-e", picture)
    assert "--source: missing.png is not a file" in told
    told = refused(app, "score", "-i", "x", "-s", picture, "-e", picture, "-e", str(tmp_path))
    assert "--edited: " in told
    assert "is not a file" in told


def test_missing_options(picture: str) -> None:
    assert "'--edited'" in refused(app, "score", "-i", "x", "-s", picture)
    assert "--sheet FILE.png for a picture, --out DIR" in refused(data_app, "shapes")
    assert "'--out'" in refused(train_app, "sft")


@pytest.mark.parametrize("typer_app", [data_app, eval_app])
def test_an_unknown_split_names_those_there_are(typer_app: typer.Typer) -> None:
    command = ("shapes", "--sheet", "x.png") if typer_app is data_app else ("verdicts",)
    told = refused(typer_app, *command, "--split", "test")
    assert "--split: no split 'test'; there are: train, validation, held-out, held-out-combinations" in told


def test_the_evaluation_runs_no_remote_engine() -> None:
    assert "--engine: 'openai' is none of auto, vllm, transformers" in refused(
        eval_app, "verdicts", "--engine", "openai"
    )


def test_a_sheet_is_a_png() -> None:
    assert "--sheet: shapes.jpeg does not end in .png" in refused(data_app, "shapes", "--sheet", "shapes.jpeg")


@pytest.mark.parametrize("option", [("--n", "0"), ("--first", "-1"), ("--columns", "0")])
def test_counts_are_positive(option: tuple[str, str]) -> None:
    assert option[0] in refused(data_app, "shapes", "--sheet", "x.png", *option)


def test_an_unknown_recipe_names_those_there_are(tmp_path: Path) -> None:
    told = refused(train_app, "sft", "--recipe", "no-such-recipe", "--out", str(tmp_path / "out"))
    assert "--recipe: no recipe 'no-such-recipe': it is neither a file nor one of gcpo, micro, nano" in told
    assert not (tmp_path / "out").exists()
