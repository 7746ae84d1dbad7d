"""TIGER's EditReward-Bench: 2-, 3- and 4-way rankings, one row for each of their relations.

Columns, from the benchmark's scripts: `id` (of the ranking), `dataset` (`2pair`, `3pair` or `4pair`), `instruction`,
`source_image`, `candidate_1`, `candidate_2`, `comparison_type` (`BvsC`: the first letter is candidate 1) and `ranking`
(`B>C`, `C>B`, or `A=B`, which only 2-way rankings have).
"""

from __future__ import annotations

import re

from edit_rrm_training.judge.pairs.pair import Pair, Ranking, Reason
from edit_rrm_training.judge.pairs.sources.dataset import DatasetRow, DatasetSource, RowError

_ID, _SUBSET, _INSTRUCTION = ("id",), ("dataset",), ("instruction",)
_SOURCE, _ONE, _TWO = ("source_image",), ("candidate_1",), ("candidate_2",)
_COMPARED, _RANKING = ("comparison_type",), ("ranking",)

_WAYS = re.compile(r"([2-9])\s*-?\s*pair")
_LETTERS = re.compile(r"([A-Z])\s*vs?\s*([A-Z])")
_RELATION = re.compile(r"([A-Z])\s*([<>=])\s*([A-Z])(?:\s*=\s*(?:Good|Bad))?")
_ID_CHARS = 10


class TigerSource(DatasetSource):
    """Reads TIGER's EditReward-Bench."""

    needed = (_ID, _SUBSET, _INSTRUCTION, _SOURCE, _ONE, _TWO, _COMPARED, _RANKING)

    def _pair(self, row: DatasetRow) -> Pair:
        subset = row.text(_SUBSET)
        ways = _WAYS.fullmatch(subset)
        if ways is None:
            raise RowError(Reason.UNKNOWN_PREFERENCE, f"dataset {subset!r}, not 2pair, 3pair or 4pair")
        preferred = preference(row.text(_COMPARED), row.text(_RANKING))
        instruction, source = row.instruction(_INSTRUCTION), row.picture(_SOURCE)
        one, two = row.picture(_ONE), row.picture(_TWO)
        better, worse = (two, one) if preferred == 2 else (one, two)
        # The scripts tell rankings apart by ids alone; source and instruction keep apart what an id would mix.
        name = f"{subset}/{group_of(row.text(_ID))}/{source.digest}/{instruction}"
        return Pair(
            row.where,
            instruction,
            source,
            better,
            worse,
            tied=preferred == 0,
            category=subset,
            ranking=Ranking(name, int(ways[1])),
        )


def group_of(name: str) -> str:
    """Which ranking a row belongs to: the id up to its first underscore, or its first ten characters."""
    return name.split("_")[0] if "_" in name else name[:_ID_CHARS]


def preference(compared: str, ranking: str) -> int:
    """Which candidate is better: 1 or 2, or 0 for a tie.

    Args:
        compared: Such as ``BvsC``; the first letter is candidate 1.
        ranking: Such as ``C>B``, ``B<C`` or ``A=B=Bad``.

    Raises:
        RowError: They cannot be read, or are not about the same two candidates.
    """
    letters, relation = _LETTERS.fullmatch(compared), _RELATION.fullmatch(ranking)
    if letters is None or relation is None or {letters[1], letters[2]} != {relation[1], relation[3]}:
        raise RowError(Reason.UNKNOWN_PREFERENCE, f"comparison_type {compared!r} with ranking {ranking!r}")
    if relation[2] == "=":
        return 0
    winner = relation[1] if relation[2] == ">" else relation[3]
    return 1 if winner == letters[1] else 2
