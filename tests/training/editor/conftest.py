"""What runs in one process would share: accelerate's state, with the precision of whoever came first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from accelerate.state import AcceleratorState, GradientState


@pytest.fixture(autouse=True)
def accelerate_anew() -> Iterator[None]:
    """Every test decides for itself, and nothing for those that follow."""
    _forget()
    yield
    _forget()


def _forget() -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
