"""What tests of editors share, and what they must not: the state that accelerate keeps for a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState, GradientState

from tests.training.editor.pipelines import tiny_flux


@pytest.fixture(autouse=True)
def accelerate_anew() -> Iterator[None]:
    """Every test decides for itself, and nothing for those that follow."""
    _forget()
    yield
    _forget()


def _forget() -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Kontext pipeline of the real classes with random weights; nobody writes into it."""
    folder = tmp_path_factory.mktemp("tiny") / "pipeline"
    tiny_flux().save_pretrained(folder)
    return folder
