"""One GCPO step, run once per rank by `test_gcpo.py`: scores say which row was judged, so torn pairs would show."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoModelForImageTextToText, AutoProcessor

from edit_rrm.prompts import load_prompt_set
from edit_rrm_training.judge.gcpo import GcpoTrainer, training_arguments
from edit_rrm_training.judge.gcpo_recipe import GcpoRecipe
from edit_rrm_training.judge.pair_rows import pair_dataset, shapes_pair


class RowsAsScores(GcpoTrainer):
    """Scores a winner's rollouts 3 and a loser's 4, whatever they say."""

    seen: list[int]

    def scores(
        self,
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        principles: Sequence[str],
        **columns: Any,
    ) -> list[float]:
        """Side of the pair, from the row."""
        self.seen = list(columns["row"])
        return [3.0 + row % 2 for row in columns["row"]]


def main(judge: str, out: str) -> None:
    recipe = GcpoRecipe(
        pairs=4, pairs_per_step=2, rollouts=2, micro_batch=2, steps=1, max_completion_tokens=4, save_every=100
    )
    trainer = RowsAsScores(
        AutoModelForImageTextToText.from_pretrained(judge, local_files_only=True),
        recipe=recipe,
        args=training_arguments(recipe, Path(out)),
        train_dataset=pair_dataset(4, lambda index: shapes_pair("train", index), load_prompt_set("nano")),
        processing_class=AutoProcessor.from_pretrained(judge, local_files_only=True),
    )
    trainer.train()
    rank, log = trainer.accelerator.process_index, trainer.state.log_history[0]
    found = {"ranks": trainer.accelerator.num_processes, "rows": trainer.seen, "log": log}
    (Path(out) / f"rank-{rank}.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
