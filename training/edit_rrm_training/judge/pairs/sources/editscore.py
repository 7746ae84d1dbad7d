"""EditScore's EditReward-Bench: pairs of edits in 13 task types and three dimensions, the winner first.

Columns, from the dataset's own `dataset_info.json` (one Arrow dataset as `datasets.save_to_disk` writes it): `key`
(two names, one per edit), `instruction`, `input_image`, `output_images` (two), `task_type`, `dimension`. Two rules are
from the benchmark's scripts: the winner comes first, and edits are brought to the source's size before they are scored.
"""

from __future__ import annotations

from edit_rrm_training.judge.pairs.pair import Pair
from edit_rrm_training.judge.pairs.sources.dataset import DatasetRow, DatasetSource

_INSTRUCTION, _SOURCE, _EDITS = ("instruction",), ("input_image",), ("output_images",)
_TASK, _DIMENSION = ("task_type",), ("dimension",)


class EditScoreSource(DatasetSource):
    """Reads EditScore's EditReward-Bench."""

    needed = (_INSTRUCTION, _SOURCE, _EDITS, _TASK, _DIMENSION)
    resize_edits = True

    def _pair(self, row: DatasetRow) -> Pair:
        return Pair(
            row.where,
            row.instruction(_INSTRUCTION),
            row.picture(_SOURCE),
            row.picture(_EDITS, 0),
            row.picture(_EDITS, 1),
            category=row.text(_TASK) or None,
            dimension=row.text(_DIMENSION) or None,
        )
