"""The wheel holds what the source tree holds: data files, type markers, and the `.pth` file at its root."""

from __future__ import annotations

import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.packaging.building import ROOT, tracked

SOURCES = {
    "rrm": "edit_rrm",
    "client": "edit_rrm_client",
    "service": "edit_rrm_service",
    "training": "edit_rrm_training",
}
PTH = "_edit_rrm_torchvision.pth"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def names(wheel: zipfile.Path) -> set[str]:
    return {name for name in wheel.root.namelist() if not name.endswith("/")}


def expected(*patterns: str) -> set[str]:
    """Tracked files that match, by their names in the wheel."""
    found = set()
    for name in tracked():
        source, _, inside = name.partition("/")
        if source in SOURCES and any(Path(inside).match(pattern) for pattern in patterns):
            found.add(inside)
    return found


def test_every_module_is_in(names: set[str]) -> None:
    modules = expected("*.py")
    assert "edit_rrm/grammar.py" in modules
    assert modules <= names


@pytest.mark.parametrize(
    "pattern",
    [
        "edit_rrm/prompts/*/*.txt",
        "edit_rrm_training/judge/recipes/*.yaml",
        "edit_rrm_training/judge/cold_start/*.jsonl",
        "edit_rrm_training/judge/cold_start/configs/*.yaml",
        "edit_rrm_training/judge/cold_start/templates/*.txt",
        "edit_rrm_training/judge/cold_start/templates/variants/*.txt",
        "edit_rrm_client/examples/*",
        "edit_rrm_service/ui/*.css",
        "edit_rrm_service/ui/*.html",
        "edit_rrm_service/ui/*.js",
        "edit_rrm_service/ui/examples/*",
        "edit_rrm_service/ui/examples/*/*",
        "*/py.typed",
    ],
)
def test_data_files_are_in(names: set[str], pattern: str) -> None:
    files = expected(pattern)
    assert files, "the tree has such files"
    assert files <= names


def test_shipped_judges_are_in(names: set[str]) -> None:
    assert expected("edit_rrm_service/judges/*/*") <= names


def test_the_pth_file_is_at_the_root(names: set[str], wheel: zipfile.Path) -> None:
    assert {PTH, "_edit_rrm_torchvision.py"} <= names
    assert (wheel / PTH).read_text() == (ROOT / "rrm" / PTH).read_text()


def test_the_pth_file_is_in_this_environment_too() -> None:
    """Whether the package was installed as a wheel or editable."""
    assert (Path(sysconfig.get_path("purelib")) / PTH).read_text() == (ROOT / "rrm" / PTH).read_text()


def test_nothing_else_is_in(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {*SOURCES.values(), "_edit_rrm_torchvision.py", PTH}
    assert not [name for name in names if name.endswith((".pyc", ".so"))]


def test_the_command_is_declared(wheel: zipfile.Path, names: set[str]) -> None:
    (entry_points,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
    assert "edit-rrm = edit_rrm_service.cli:main" in (wheel / entry_points).read_text()
    assert any(name.endswith("/LICENSE") for name in names)
