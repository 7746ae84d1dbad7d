"""What large images took is given back when they have been judged."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.fakes.service_process import fake_service
from tests.service.running import SOURCE, png, post
from tests.soak.vitals import vitals_of


@pytest.mark.parametrize("kept", [False, True], ids=["by default", "under glibc's own setting"])
async def test_memory_of_large_images_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    if kept:  # as it grows to by itself; shows that the figure below depends on it
        monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", str(64 * 2**20))
    images = tuple(png(colour, (side, side)) for side in (3_000, 3_500, 4_000) for colour in ("blue", "white"))
    with fake_service(tmp_path / "log") as service:
        process = psutil.Process(service.process.pid)
        async with httpx2.AsyncClient(base_url=service.url, timeout=60.0) as client:
            assert (await post(client)).status_code == 200
            before = vitals_of(process).memory
            for _ in range(3):
                replies = await asyncio.gather(
                    *(post(client, "/v1/rewards", source=SOURCE, edited=images) for _ in range(2))
                )
                assert [reply.status_code for reply in replies] == [200, 200]
            grown = vitals_of(process).memory - before
    assert grown > 60 if kept else grown < 40, grown
