"""nano-editor as it is shipped: it half works, is small, and goes by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from edit_rrm_training.editor.edit import load_editor
from edit_rrm_training.editor.editor_card import load_editor_card
from edit_rrm_training.editor.evaluation import evaluate_editor
from edit_rrm_training.editor.nano.pretrain import policy_recipe
from edit_rrm_training.editor.shipped import editor_path


def test_it_is_small_and_says_how_it_is_asked() -> None:
    folder = editor_path("nano")
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 16 * 2**20
    assert load_editor_card(folder).policy == policy_recipe("nano")


@pytest.mark.slow
def test_it_half_works() -> None:
    report = evaluate_editor(load_editor("nano"), "validation", 60, steps=12)
    success = report.shares()["success"].value
    assert success is not None
    assert 0.2 < success < 0.8, "there has to be something to gain, and something to choose from"


def test_a_folder_of_its_name_goes_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = editor_path("nano")
    monkeypatch.chdir(tmp_path)
    assert editor_path("nano") == shipped
    (tmp_path / "nano").mkdir()
    assert editor_path("nano") == Path("nano")
