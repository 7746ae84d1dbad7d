"""What tests that train share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def subnormal_numbers_as_before() -> Iterator[None]:
    """Take back what training does to this process: other tests make up numbers that it would round to zero."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One CPU thread: with more, sums are added up in another order every time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
