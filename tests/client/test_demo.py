"""The demo passes only if the judge puts the three edits into the right order."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from edit_rrm_client.demo import main
from tests.client.fake_service import judgement, judging_service

EXAMPLES = files("edit_rrm_client").joinpath("examples")


def judge_that_gives(**scores: float | None) -> Callable[[Image.Image], str]:
    """A judge with a fixed score per example; it babbles where there is none."""
    answers = {}
    for name, score in scores.items():
        with Image.open(BytesIO(EXAMPLES.joinpath(f"{name}.png").read_bytes())) as image:
            answers[image.convert("RGB").tobytes()] = "hm, [/red] [b]" if score is None else judgement(score)
    return lambda edited: answers[edited.tobytes()]


def test_the_examples_are_what_the_index_says() -> None:
    index = json.loads(EXAMPLES.joinpath("examples.json").read_text(encoding="utf-8"))
    scores = [row["oracle_score"] for row in index["edits"]]
    assert [row["name"] for row in index["edits"]] == ["good", "collateral", "untouched"]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 3
    for name in (index["source"], *(row["edited"] for row in index["edits"])):
        with Image.open(BytesIO(EXAMPLES.joinpath(name).read_bytes())) as image:
            assert image.size == (84, 84)


@pytest.mark.parametrize(
    ("scores", "status", "said"),
    [
        (
            {"good": 9.5, "collateral": 6.0, "untouched": 0.0},
            0,
            "good 9.5 > collateral 6 > untouched 0",
        ),
        ({"good": 6.0, "collateral": 9.5, "untouched": 0.0}, 1, "wrong order"),
        ({"good": 9.5, "collateral": 6.0, "untouched": 6.0}, 1, "wrong order"),
        ({"good": 9.5, "collateral": None, "untouched": 0.0}, 1, "not scored: collateral (unparsable)"),
    ],
)
def test_only_the_right_order_passes(
    scores: dict[str, float | None], status: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with judging_service(judge_that_gives(**scores)) as url:
        assert main(["--url", url, "--out", str(tmp_path / "demo")]) == status
    told = " ".join(capsys.readouterr().out.split())
    assert said in told
    with Image.open(tmp_path / "demo" / "report.png") as page:
        assert page.width == 1_320


def test_probes_put_equal_edits_into_no_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with judging_service(lambda edited: "unused") as url:
        assert main(["--url", url, "--mode", "probe", "--out", str(tmp_path)]) == 1
    assert "P(yes) 0.90" in capsys.readouterr().out


def test_a_url_where_nobody_answers_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    assert main(["--url", url, "--out", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert told.startswith(f"{url} did not answer")
    assert len(told.splitlines()) == 1
