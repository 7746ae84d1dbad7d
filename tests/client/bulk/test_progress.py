"""Progress is a line every so often where nobody looks, and a bar where somebody does."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from edit_rrm.verdicts import Outcome
from edit_rrm_client.bulk.progress import Counted, Lines, shown
from tests.client.steps import scored, unscored


def test_a_line_every_so_often() -> None:
    now = 0.0
    lines: list[str] = []
    progress = Counted(Lines(lines.append, every_s=30.0, clock=lambda: now), clock=lambda: now)
    progress.begin(1_000, 100)
    for _ in range(10):
        now += 10.0
        progress.seen([scored(5.0)] * 8 + [unscored(Outcome.BAD_IMAGE)] * 2)
    assert lines == [
        "130 of 1000 rows, 0:14:30 left; 1.0 rows/s; 24 scored, 6 bad_image",
        "160 of 1000 rows, 0:14:00 left; 1.0 rows/s; 48 scored, 12 bad_image",
        "190 of 1000 rows, 0:13:30 left; 1.0 rows/s; 72 scored, 18 bad_image",
    ]


def test_a_bar_for_people_and_nothing_where_nothing_is_wanted() -> None:
    for terminal, quiet, expected in ((True, False, "10/20"), (False, False, ""), (True, True, "")):
        text = StringIO()
        with shown(Console(file=text, force_terminal=terminal, width=120), quiet=quiet) as progress:
            progress.begin(20, 5)
            progress.seen([scored(5.0)] * 5)
        assert (expected in text.getvalue()) if expected else not text.getvalue()
