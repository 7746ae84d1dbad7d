"""The snippets that the page shows are run, and ask what was asked on the page."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edit_rrm.verdicts import Aggregation, Mode
from edit_rrm_service.auth import hash_key
from edit_rrm_service.ui.asking import ChosenImage, Question
from edit_rrm_service.ui.snippets import KEY_VARIABLE, as_client_code, as_curl
from tests.client.fake_service import judgement, judging_service
from tests.service.running import png
from tests.service.ui.replies import FOLLOW, KEEP

KEY = "a key of ours"
SOURCE, EDIT = ChosenImage("source.png", png("red")), ChosenImage("an edit; of 'mine', @home.png", png("blue"))
QUESTIONS = {
    "usual": Question("make the star blue", SOURCE, (EDIT,)),
    "odd words": Question('@make it "blue"; it\'s <red>, $HOME `now` ünd größer', SOURCE, (EDIT, SOURCE)),
    "everything": Question(
        "make the star blue",
        SOURCE,
        (EDIT, SOURCE),
        mode=Mode.PROBE,
        aggregation=Aggregation.MIN,
        principles=(FOLLOW, KEEP),
    ),
    "samples": Question("make the star blue", SOURCE, (EDIT,), samples=3, principles=(FOLLOW, KEEP)),
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with judging_service(lambda _: judgement(7.0)) as started:
        yield started


@pytest.fixture(scope="module")
def locked_url() -> Iterator[str]:
    with judging_service(lambda _: judgement(7.0), api_key_hashes=(hash_key(KEY),)) as started:
        yield started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for image in (SOURCE, EDIT):
        (tmp_path / image.name).write_bytes(image.data)
    return tmp_path


@pytest.mark.skipif(shutil.which("curl") is None, reason="this machine has no curl")
@pytest.mark.parametrize("name", QUESTIONS)
def test_curl(name: str, url: str, folder: Path) -> None:
    question = QUESTIONS[name]
    reply = json.loads(run(["bash", "-c", as_curl(question, url, key=False)], folder))
    assert [result["outcome"] for result in reply["results"]] == ["scored"] * len(question.edited)
    modes = {(result["mode"], result["samples"]) for result in reply["results"]}
    assert modes == {(question.mode.value, question.samples)}
    if question.principles is not None:
        assert [one["question"] for one in reply["principles"]] == [one.question for one in question.principles]


@pytest.mark.parametrize("name", QUESTIONS)
def test_client_code(name: str, url: str, folder: Path) -> None:
    question = QUESTIONS[name]
    lines = run([sys.executable, "-c", as_client_code(question, url, key=False)], folder).splitlines()
    expected = "0.7" if question.mode is Mode.THINK else "0.9"
    assert lines == [f"scored {expected}"] * len(question.edited)


@pytest.mark.skipif(shutil.which("curl") is None, reason="this machine has no curl")
def test_a_key_comes_from_the_environment_and_is_not_in_the_snippet(locked_url: str, folder: Path) -> None:
    for text, command in (
        (curl := as_curl(QUESTIONS["usual"], locked_url, key=True), ["bash", "-c", curl]),
        (code := as_client_code(QUESTIONS["usual"], locked_url, key=True), [sys.executable, "-c", code]),
    ):
        assert KEY not in text
        assert "scored" in run(command, folder, **{KEY_VARIABLE: KEY})


def run(command: list[str], folder: Path, **env: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
