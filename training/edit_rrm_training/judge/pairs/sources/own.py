"""Pairs of one's own, in the plainest format: what GCPO trains on, and what any preference data can be brought to.

Columns: `instruction`, `source`, `better`, `worse`; optionally `category`, and `principles` as a list of `{question,
category}`, without which the judge decomposes the instruction.
"""

from __future__ import annotations

from pydantic import ValidationError

from edit_rrm.principles import Principle
from edit_rrm_training.judge.pairs.pair import Pair, Reason
from edit_rrm_training.judge.pairs.sources.dataset import DatasetRow, DatasetSource, RowError

_INSTRUCTION = ("instruction",)
_SOURCE, _BETTER, _WORSE = ("source",), ("better",), ("worse",)
_PRINCIPLES, _CATEGORY = ("principles",), ("category",)


class OwnSource(DatasetSource):
    """Reads pairs of one's own."""

    needed = (_INSTRUCTION, _SOURCE, _BETTER, _WORSE)

    def _pair(self, row: DatasetRow) -> Pair:
        return Pair(
            row.where,
            row.instruction(_INSTRUCTION),
            row.picture(_SOURCE),
            row.picture(_BETTER),
            row.picture(_WORSE),
            category=row.text(_CATEGORY) or None,
            principles=_principles(row),
        )


def _principles(row: DatasetRow) -> tuple[Principle, ...] | None:
    listed = row.cell(_PRINCIPLES)
    if listed is None:
        return None
    try:
        found = tuple(Principle.model_validate(item) for item in listed)
    except (TypeError, ValidationError):
        found = ()
    if not found:
        raise RowError(Reason.BAD_PRINCIPLES, "principles has to be a list of {question, category}, and not empty")
    return found
