"""What came of a run, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from edit_rrm.verdicts import Outcome


@dataclass(frozen=True)
class Summary:
    """Of all rows, those of earlier tries included, but for the time."""

    rows: int
    scored: int
    outcomes: dict[str, int]
    """Rows by outcome."""
    mean_reward: float | None
    """Over the rows that were scored, 0 to 1; None where none was."""
    identity: str | None
    """Of the judge."""
    asked: int = 0
    """Rows that this try judged."""
    seconds: float = 0.0
    """That this try took."""
    rows_per_second: float | None = None
    """Of this try; None where it had nothing to judge."""

    @classmethod
    def of(cls, tables: Iterable[pa.Table], *, identity: str | None, asked: int, seconds: float) -> Summary:
        """Add up an output.

        Args:
            tables: With the columns ``outcome`` and ``reward``.
            identity: Of the judge.
            asked: Rows that this try judged.
            seconds: That it took.
        """
        outcomes: Counter[str] = Counter()
        total = 0.0
        for table in tables:
            for count in pc.value_counts(table["outcome"]).to_pylist():
                outcomes[count["values"]] += count["counts"]
            total += pc.sum(table["reward"]).as_py() or 0.0
        scored = outcomes[Outcome.SCORED.value]
        return cls(
            rows=outcomes.total(),
            scored=scored,
            outcomes=dict(outcomes.most_common()),
            mean_reward=total / scored if scored else None,
            identity=identity,
            asked=asked,
            seconds=round(seconds, 3),
            rows_per_second=round(asked / seconds, 3) if asked and seconds else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)
