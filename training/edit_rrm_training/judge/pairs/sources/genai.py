"""GenAI-Bench-style pairs: two edits side by side, and what a person voted.

Columns of TIGER-Lab/GenAI-Bench, subset `image_edition`, from its card: `instruct_prompt`, `source_image`,
`left_output_image`, `right_output_image`, `vote_type` (and prompts and model names, which no judge is shown). The names
that EditReward-Data and its derivatives give the same columns are taken too.
"""

from __future__ import annotations

from edit_rrm_training.judge.pairs.pair import Pair, Reason
from edit_rrm_training.judge.pairs.sources.dataset import DatasetRow, DatasetSource, RowError

_INSTRUCTION = ("instruct_prompt", "instruction")
_SOURCE = ("source_image", "source_img")
_LEFT = ("left_output_image", "left_image")
_RIGHT = ("right_output_image", "right_image")
_VOTE = ("vote_type",)
_CATEGORY = ("category", "task_type")

_LEFT_VOTES, _RIGHT_VOTES = {"leftvote"}, {"rightvote"}
_TIES = {"tievote", "tie", "bothbad_vote"}
"""Both good and both bad: either way, neither is better."""


class GenAiSource(DatasetSource):
    """Reads GenAI-Bench-style pairs."""

    needed = (_INSTRUCTION, _SOURCE, _LEFT, _RIGHT, _VOTE)

    def _pair(self, row: DatasetRow) -> Pair:
        vote = row.text(_VOTE)
        if vote not in _LEFT_VOTES | _RIGHT_VOTES | _TIES:
            raise RowError(Reason.UNKNOWN_PREFERENCE, f"vote_type {vote!r}")
        left, right = row.picture(_LEFT), row.picture(_RIGHT)
        better, worse = (right, left) if vote in _RIGHT_VOTES else (left, right)
        return Pair(
            row.where,
            row.instruction(_INSTRUCTION),
            row.picture(_SOURCE),
            better,
            worse,
            tied=vote in _TIES,
            category=row.text(_CATEGORY) or None,
        )
