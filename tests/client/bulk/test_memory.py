"""Memory is bounded by the window, whatever the file and its row groups."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROWS, IMAGE_KB, WINDOW = 6_000, 24, 128


def test_a_file_much_larger_than_its_windows_leaves_the_memory_alone(tmp_path: Path) -> None:
    numbers = random.Random(0)
    path = tmp_path / "edits.parquet"
    schema = pa.schema({"id": pa.string(), "instruction": pa.string(), "source": pa.binary(), "edited": pa.binary()})
    edits = {
        "id": [f"{row}" for row in range(ROWS)],
        "instruction": [f"make it red {row // 4}" for row in range(ROWS)],
        "source": [numbers.randbytes(IMAGE_KB * 1024) for _ in range(ROWS)],
        "edited": [numbers.randbytes(IMAGE_KB * 1024) for _ in range(ROWS)],
    }
    # One row group, which is the worst that a file can be, of pages that do not themselves hold a thousand images.
    pages = {"use_dictionary": False, "write_batch_size": 16}
    pq.write_table(pa.table(edits, schema=schema), path, row_group_size=ROWS, compression="none", **pages)
    size = path.stat().st_size / 2**20
    del edits
    command = [sys.executable, "-m", "tests.client.bulk.peak", str(path), str(WINDOW)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    grown = float(result.stdout)
    # Three windows as tables, two of them as what is sent; the rest is what allocators keep.
    windows = 5 * WINDOW * 2 * IMAGE_KB / 1024
    assert size > 280
    assert grown < windows + 100, f"{grown} MiB for a file of {size:.0f} MiB"
