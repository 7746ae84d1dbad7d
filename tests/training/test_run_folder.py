"""A run's folder says whose it is: what something else began is not gone on with."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from edit_rrm_training.judge.run_folder import RUN_FILE, claim, weights_digest

FACTS = {"stage": "gcpo", "learning_rate": 1e-4, "steps": 100, "start": "abc"}


def begun(folder: Path) -> Path:
    claim(folder, FACTS, resume=True)
    (folder / "checkpoints" / "checkpoint-50").mkdir(parents=True)
    (folder / "judge").mkdir()
    (folder / "curves.png").write_bytes(b"drawn")
    (folder / "edit-rrm").mkdir()
    (folder / "wandb-run-id").write_text("abc\n")
    return folder


def test_the_same_run_goes_on(tmp_path: Path) -> None:
    claim(begun(tmp_path / "run"), FACTS, resume=True)
    assert (tmp_path / "run" / "checkpoints" / "checkpoint-50").is_dir()


def test_a_run_may_be_made_longer(tmp_path: Path) -> None:
    claim(begun(tmp_path), {**FACTS, "steps": 200}, resume=True)
    assert json.loads((tmp_path / RUN_FILE).read_text())["steps"] == 200


def test_another_recipe_or_start_is_refused_and_named(tmp_path: Path) -> None:
    other = {**FACTS, "learning_rate": 2e-4, "start": "def"}
    with pytest.raises(ValueError, match=r"learning_rate: 0\.0001 there, 0\.0002 here; start: 'abc' there.*--fresh"):
        claim(begun(tmp_path), other, resume=True)
    assert json.loads((tmp_path / RUN_FILE).read_text()) == FACTS
    assert (tmp_path / "checkpoints" / "checkpoint-50").is_dir()


NESTED = {"stage": "sft", "seeing": {"steps": 9, "batch": {"rows": 4}}, "start": "abc"}


def test_what_differs_within_is_named_by_its_path(tmp_path: Path) -> None:
    claim(tmp_path, NESTED, resume=True)
    (tmp_path / "checkpoints").mkdir()
    other = {**NESTED, "seeing": {"steps": 8, "batch": {"rows": 2}}}
    with pytest.raises(ValueError, match=r"\(seeing\.batch\.rows: 4 there, 2 here; seeing\.steps: 9 there, 8 here\)"):
        claim(tmp_path, other, resume=True)
    with pytest.raises(ValueError, match=r"\(seeing\.steps: 9 there, 8 here\)"):
        claim(tmp_path, other, resume=True, may_change={"seeing.batch"})
    claim(tmp_path, other, resume=True, may_change={"seeing"})
    assert json.loads((tmp_path / RUN_FILE).read_text()) == other


def test_what_an_old_record_lacks_is_the_default(tmp_path: Path) -> None:
    claim(tmp_path, {**NESTED, "seeing": {"steps": 9}}, resume=True)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ValueError, match=r"\(seeing\.batch: None there"):
        claim(tmp_path, NESTED, resume=True)
    with pytest.raises(ValueError, match=r"\(seeing\.batch\.rows: 3 there, 4 here\)"):
        claim(tmp_path, NESTED, resume=True, defaults={"seeing": {"batch": {"rows": 3}}})
    claim(tmp_path, NESTED, resume=True, defaults={"seeing": {"steps": 1, "batch": {"rows": 4}}, "more": None})


def test_a_fresh_start_deletes_the_run_and_nothing_else(tmp_path: Path) -> None:
    """Or a fresh run that is killed would be gone on with from the old one's last checkpoint."""
    (begun(tmp_path) / "notes.txt").write_text("mine")
    claim(tmp_path, {**FACTS, "learning_rate": 2e-4}, resume=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", RUN_FILE]


def test_a_folder_without_a_readable_record_is_taken_over(tmp_path: Path) -> None:
    (begun(tmp_path) / RUN_FILE).write_text('{"stage":')
    claim(tmp_path, FACTS, resume=True)
    assert json.loads((tmp_path / RUN_FILE).read_text()) == FACTS


def test_the_record_is_on_the_disk_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that a loss of power cut short would say nothing of whose run it is."""
    begun(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        claim(tmp_path, {**FACTS, "steps": 200}, resume=True)
    assert json.loads((tmp_path / RUN_FILE).read_text()) == FACTS


def test_only_the_first_process_touches_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    claim(tmp_path / "run", FACTS, resume=False)
    assert not (tmp_path / "run").exists()


def test_other_weights_or_another_tokenizer_have_another_digest(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "tokenizer.json").write_text("{}")
    first = weights_digest(tmp_path)
    (tmp_path / "edit_rrm.json").write_text("{}")
    assert weights_digest(tmp_path) == first
    (tmp_path / "tokenizer.json").write_text('{"a": 1}')
    second = weights_digest(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"weighty")
    assert len({first, second, weights_digest(tmp_path)}) == 3


@pytest.mark.parametrize("resume", [True, False])
def test_a_run_does_not_delete_the_judge_it_starts_from(tmp_path: Path, resume: bool) -> None:
    start = begun(tmp_path / "run") / "judge"
    with pytest.raises(ValueError, match="which this run starts from and would overwrite; choose another --out"):
        claim(tmp_path / "run", {**FACTS, "stage": "sft"}, start=start, resume=resume)
    assert start.is_dir()
    claim(tmp_path / "other", FACTS, start=start, resume=resume)
