"""The commands that ask a service, against the real one with a scripted judge; and those that write files."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from edit_rrm.card import load_card
from edit_rrm.verdicts import Reward
from edit_rrm.wire import Identity
from edit_rrm_service.auth import hash_key
from edit_rrm_service.cli import app
from edit_rrm_service.settings import SHIPPED_JUDGE
from edit_rrm_training.cli import data_app, eval_app
from tests.client.fake_service import judgement, judging_service

KEY = "a-key-of-ours"


def answer(edited: Image.Image) -> str:
    return judgement(8.5, (True, False)) if edited.getpixel((0, 0)) == (0, 0, 255) else "[/b] I cannot say"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with judging_service(answer, api_key_hashes=(hash_key(KEY),)) as started:
        yield started


@pytest.fixture
def nobody() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, str]:
    paths = {}
    for colour in ("red", "blue"):
        # A name that Rich would take for markup.
        path = tmp_path / f"{colour}[b].png"
        Image.new("RGB", (64, 64), colour).save(path)
        paths[colour] = str(path)
    return paths


def score(url: str, pictures: dict[str, str], *edited: str, more: tuple[str, ...] = ()) -> tuple[int, str]:
    edits = [item for colour in edited for item in ("--edited", pictures[colour])]
    arguments = ["score", "--url", url, "--api-key", KEY, "-i", "x", "-s", pictures["red"], *edits, *more]
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


def test_score_for_people(url: str, pictures: dict[str, str]) -> None:
    status, told = score(url, pictures, "blue")
    assert status == 0
    for piece in ("blue[b].png: score 8.5 of 10", "Is the star blue?", "was red, is blue", "yes", "no"):
        assert piece in " ".join(told.split()), told


def test_score_for_programs(url: str, pictures: dict[str, str]) -> None:
    status, told = score(url, pictures, "blue", more=("--json",))
    assert status == 0
    reply = json.loads(told)
    assert set(reply) == {"results", "principles", "identity", "usage", "attempts", "elapsed"}
    assert [Reward.model_validate(result).score for result in reply["results"]] == [8.5]


def test_an_unscored_edit_is_reported_and_fails_the_command(url: str, pictures: dict[str, str]) -> None:
    status, told = score(url, pictures, "blue", "red")
    assert status == 1
    assert "red[b].png: not scored: unparsable\nthe judge wrote no verdict list" in told
    status, told = score(url, pictures, "blue", "red", more=("--json",))
    assert status == 1
    assert [item["score"] for item in json.loads(told)["results"]] == [8.5, None]


def test_probes(url: str, pictures: dict[str, str]) -> None:
    status, told = score(url, pictures, "red", more=("--mode", "probe"))
    assert status == 0
    assert "P(yes) 0.90" in told


def test_identity(url: str) -> None:
    result = CliRunner().invoke(app, ["identity", "--url", url], env={"EDIT_RRM_API_KEY": KEY})
    assert result.exit_code == 0
    assert Identity.model_validate_json(result.output).name == "scripted"


def test_a_wrong_key_is_one_line(url: str) -> None:
    result = CliRunner().invoke(app, ["identity", "--url", url, "--api-key", "another"])
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert result.output.startswith("edit-rrm: unauthorised: ")


@pytest.mark.parametrize("command", ["identity", "score", "eval"])
def test_a_service_that_is_not_there_is_one_line(command: str, nobody: str, pictures: dict[str, str]) -> None:
    if command == "score":
        status, told = score(nobody, pictures, "red")
    elif command == "eval":
        result = CliRunner().invoke(eval_app, ["verdicts", "--url", nobody, "--n", "2"])
        status, told = result.exit_code, result.stderr
    else:
        result = CliRunner().invoke(app, ["identity", "--url", nobody])
        status, told = result.exit_code, result.output
    assert status == 1
    assert told.splitlines()[-1].startswith(f"edit-rrm: {nobody} did not answer")
    assert "Traceback" not in told


@pytest.mark.slow
def test_measured_figures_go_into_the_judges_own_card(tmp_path: Path) -> None:
    judge = Path(shutil.copytree(SHIPPED_JUDGE, tmp_path / "judge"))
    before = load_card(judge)
    arguments = ["verdicts", "--model", str(judge), "--engine", "transformers", "--split", "validation", "--n", "3"]
    result = CliRunner().invoke(eval_app, [*arguments, "--record", "--json"])
    assert result.exit_code == 0, result.output
    report, after = json.loads(result.stdout), load_card(judge)
    assert before is not None
    assert after is not None
    figures = after.metrics["validation"]
    assert figures["command"] == "edit-rrm eval verdicts --split validation --n 3 --json"
    for mode in ("think", "probe"):
        assert figures[mode]["accuracy"] == report[mode]["accuracy"]
        assert figures[mode]["accuracy"]["total"] > 0
    assert figures["decompose"]["exact"] == report["decompose"]["exact"]
    assert after.model_copy(update={"metrics": before.metrics}) == before


@pytest.mark.parametrize("where", [[], ["--url", "http://127.0.0.1:9"], ["--model", "no-such-folder"]])
def test_figures_can_only_be_recorded_in_a_judges_folder(where: list[str]) -> None:
    result = CliRunner().invoke(eval_app, ["verdicts", "--record", *where])
    assert result.exit_code == 2
    assert "--model FOLDER" in result.output


def test_a_url_that_is_none_is_one_line() -> None:
    result = CliRunner().invoke(app, ["identity", "--url", "localhost:8000"])
    assert result.exit_code == 1
    assert result.output.startswith("edit-rrm: 'localhost:8000' is not an HTTP URL")


def test_hash_key() -> None:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    for typed in (KEY, f"{KEY}\n"):
        assert CliRunner().invoke(app, ["hash-key"], input=typed).stdout == f"{digest}\n"
    empty = CliRunner().invoke(app, ["hash-key"], input="\n")
    assert (empty.exit_code, empty.stdout) == (1, "")
    assert empty.stderr == "edit-rrm: no key came on standard input\n"


def test_a_sheet_of_shapes(tmp_path: Path) -> None:
    sheet = tmp_path / "new" / "shapes.png"
    result = CliRunner().invoke(data_app, ["shapes", "--n", "3", "--columns", "2", "--sheet", str(sheet)])
    assert result.exit_code == 0, result.output
    with Image.open(sheet) as page:
        assert page.format == "PNG"
    assert str(sheet) in result.output.replace("\n", "")


def test_shapes_as_files(tmp_path: Path) -> None:
    result = CliRunner().invoke(data_app, ["shapes", "--n", "2", "--first", "5", "--out", str(tmp_path / "data")])
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "data" / "samples.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["train/5", "train/6"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(data_app, ["shapes", "--n", "1", "--out", str(tmp_path / "file")])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("edit-rrm: ")
