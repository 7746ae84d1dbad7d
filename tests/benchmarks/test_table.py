"""What a run of all benchmarks says in words and in a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.__main__ import PARTS
from benchmarks.figures import draw
from benchmarks.table import rows


def spread(median: float) -> dict[str, float]:
    return {"median": median, "least": 0.9 * median, "most": 1.1 * median}


FOUND: dict[str, Any] = {
    "machine": "one",
    "overhead": {
        "single": {"beyond_decoding_and_judging_ms": spread(3.0)},
        "callers": {
            "rates": {"edit-rrm": spread(160.0), "flask-pickle": spread(40.0)},
            "ratios_to_flask_pickle": {"edit-rrm": spread(4.0)},
        },
    },
    "probe 40M": {
        "rates": {"edit-rrm": spread(3.0), "offline": spread(2.9)},
        "ratios": {"offline": spread(1.04)},
    },
    "counters": {
        "judge's order": {"computed_tokens": 60, "encoder_runs": 25},
        "question first": {"computed_tokens": 120, "encoder_runs": 25},
        "same source again": {"computed_tokens": 50, "encoder_runs": 24},
    },
    "growth": {
        "growth": {"principles": {"1": {"rewards_per_s": spread(9.0)}, "3": {"rewards_per_s": spread(6.0)}}},
        "exponents": {"principles": 0.37},
    },
    "trainer step": {"contenders": {"edit-rrm": {"waiting_s": spread(0.1), "step_s": spread(8.0)}}},
}


def test_the_table_says_what_was_measured() -> None:
    table = dict(rows(FOUND))
    assert table["one 512 px pair, beyond decoding and judging"] == "3.00 ms (2.70 to 3.30)"
    assert table["16 callers with 24 edits each, edit-rrm to flask-pickle"] == "4.00 times (3.60 to 4.40)"
    assert table["probe 40M: to offline"].startswith("1.04 times")
    assert table["tokens computed to question first"] == "0.50 times"
    assert table["images encoded for 24 edits, and for 24 more"] == "25, 24"
    assert table["a reward's time grows with principles to the power of"] == "0.37"
    assert table["a trainer's step, edit-rrm: waiting for rewards"].startswith("0.10 s")


def test_a_part_alone_has_its_own_lines() -> None:
    assert list(rows({"machine": "one"})) == []
    assert len(list(rows({"growth": FOUND["growth"]}))) == 1


def test_there_is_a_picture_where_there_is_something_to_draw(tmp_path: Path) -> None:
    assert draw(FOUND, tmp_path / "all.png")
    with Image.open(tmp_path / "all.png") as image:
        assert image.width > image.height > 100
    assert not draw({"machine": "one", "counters": FOUND["counters"]}, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_parts_are_modules_and_are_chosen_by_commas() -> None:
    root = Path(__file__).parents[2]
    for name, (module, *_) in PARTS.items():
        assert "," not in name
        place = root / module.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists()
