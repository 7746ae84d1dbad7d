"""What large images took is given back when they have been judged, and what usual ones took serves the next."""

from __future__ import annotations

import asyncio
import subprocess
import sys
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


_FAULTS = """
import io, resource
import numpy as np
from PIL import Image
from edit_rrm.card import ImageBudget
from edit_rrm_service.images import ImageLimits, decode_image, fit_image
from edit_rrm_service.malloc import give_back_large_blocks

give_back_large_blocks()
file = io.BytesIO()
noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
Image.fromarray(noise).save(file, "PNG", compress_level=1)
for number in range(25):
    if number == 5:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    fit_image(decode_image(file.getvalue(), ImageLimits()), ImageBudget(min_pixels=1, max_pixels=2**24))
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 20)
"""


@pytest.mark.parametrize("side", [512, 1024])
def test_pages_of_a_usual_image_serve_the_next_one(side: int) -> None:
    script = _FAULTS.replace("SIDE", str(side))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 100, "page faults an image; its pixels alone are 256 pages, or four times that"
