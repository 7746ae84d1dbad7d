"""The SFT set: parquet files with images inside, that `datasets` loads and TRL's SFTTrainer takes as they are."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edit_rrm.grammar import Judgement, parse_judgement
from edit_rrm.principles import Principle
from edit_rrm.prompts import ImagePart, PromptSet, RenderedPrompt
from edit_rrm_training.judge.cold_start.compact import compact, principles_text
from edit_rrm_training.judge.cold_start.errors import ColdStartError
from edit_rrm_training.judge.cold_start.folder import Steps
from edit_rrm_training.judge.cold_start.pipeline import Pipeline, parsed
from edit_rrm_training.judge.cold_start.rows import EditRow

JUDGE, DECOMPOSE = "judge", "decompose"
"""The two configurations of the set: one row per edit, and one per instruction and source."""

ROWS_PER_FILE, ROWS_PER_GROUP = 2_000, 50

_CARD = """---
configs:
- config_name: judge
  data_files: judge/*.parquet
  default: true
- config_name: decompose
  data_files: decompose/*.parquet
---
An SFT set for image-edit judges, written by `edit-rrm data cold-start`. Columns: see docs/cold-start.md of Edit-RRM.
"""

Row = dict[str, Any]


def features() -> Any:
    """The columns, as `datasets.Features`; the same in both configurations."""
    from datasets import Features, Image, Json, List, Value

    text, number = Value("string"), Value("float64")
    # Json keeps {"type": "image"} as it is; a struct would give it a null text, which some chat templates print.
    turns = List({"role": text, "content": List(Json())})
    return Features(
        {
            "prompt": turns,
            "completion": turns,
            "images": List(Image()),
            "instruction": text,
            "principles": List({"question": text, "category": text}),
            "verdicts": List(Value("bool")),
            "score": number,
            "average": number,
            "gold": List(Value("bool")),
            "gold_reasons": List(text),
            "row_id": text,
            "task_id": text,
            "origin": text,
            "pool": text,
            "teacher": text,
            "model": text,
            "variant": text,
            "temperature": number,
            "seed": Value("int64"),
            "exemplars": List(text),
            "principles_teacher": text,
            "principles_model": text,
            "verifier": text,
            "verifier_model": text,
            "candidate": Value("int64"),
            "candidates": Value("int64"),
            "candidates_parsed": Value("int64"),
            "agreement": number,
        }
    )


def write_dataset(
    pipeline: Pipeline,
    steps: Steps,
    prompts: PromptSet,
    out: Path,
    *,
    verified: bool,
    rows_per_file: int = ROWS_PER_FILE,
    rows_per_group: int = ROWS_PER_GROUP,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, int]:
    """Write the set anew from a run's journals; a set that is there stays until the new one is whole.

    Args:
        pipeline: The run, done.
        steps: Its journals.
        prompts: The prompt set to write rows in.
        out: Folder of the set.
        verified: Which selection the journals hold.
        rows_per_file: Rows of a parquet file.
        rows_per_group: Rows whose images are in memory at a time.
        progress: Told the judge rows written.

    Returns:
        Rows of each configuration.

    Raises:
        ColdStartError: Nothing was selected.
        OSError: The disk is full, or failed otherwise.
    """
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    files = {name: _Files(partial / name, rows_per_file, rows_per_group) for name in (JUDGE, DECOMPOSE)}
    counts = dict.fromkeys(files, 0)
    try:
        for name, row in _rows(pipeline, steps, prompts, verified=verified):
            files[name].write(row)
            counts[name] += 1
            progress(counts[JUDGE])
        for file in files.values():
            file.finish()
    finally:
        for file in files.values():
            file.close()
    if not counts[JUDGE]:
        raise ColdStartError(f"no row was selected; {steps.selected.path} says why")
    (partial / "README.md").write_text(_CARD, encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    return counts


def messages(prompt: RenderedPrompt) -> list[dict[str, Any]]:
    """A prompt as chat turns with image placeholders, in the order of its template."""
    content: list[dict[str, str]] = [
        {"type": "image"} if isinstance(part, ImagePart) else {"type": "text", "text": part.text}
        for part in prompt.parts
    ]
    return [
        {"role": "system", "content": [{"type": "text", "text": prompt.system}]},
        {"role": "user", "content": content},
    ]


def _rows(pipeline: Pipeline, steps: Steps, prompts: PromptSet, *, verified: bool) -> Iterator[tuple[str, Row]]:
    decomposed: set[str] = set()

    def kept(record: Row) -> bool:
        selected = steps.selected.get(record["id"])
        return selected is not None and "candidate" in selected

    for row, _ in pipeline.chosen(kept):
        principles, selected = pipeline.principles_of(row.task), steps.selected.get(row.id)
        written, candidates = steps.principles.get(row.task), steps.candidates.get(row.id)
        assert principles is not None
        assert selected is not None
        assert written is not None
        assert candidates is not None
        gold = steps.gold.get(row.id) if verified else None
        shared = _shared(row, principles, selected, written)
        yield JUDGE, shared | _judge_row(row, principles, selected, candidates, gold, prompts)
        if row.task not in decomposed:
            decomposed.add(row.task)
            yield DECOMPOSE, shared | _decompose_row(row, principles, written, prompts)


def _shared(row: EditRow, principles: tuple[Principle, ...], selected: Row, written: Row) -> Row:
    return {
        "instruction": row.instruction,
        "principles": [item.model_dump(mode="json") for item in principles],
        "task_id": row.task,
        "origin": row.origin,
        "pool": selected["pool"],
        "exemplars": written["exemplars"],
        "principles_teacher": written["teacher"],
        "principles_model": written["model"],
    }


def _judge_row(
    row: EditRow,
    principles: tuple[Principle, ...],
    selected: Row,
    candidates: Row,
    gold: Row | None,
    prompts: PromptSet,
) -> Row:
    chosen = candidates["candidates"][selected["candidate"]]
    judgement = parse_judgement(chosen["text"], principles)
    assert isinstance(judgement, Judgement)
    text = compact(judgement, principles)
    assert text is not None
    return {
        "prompt": messages(prompts.think(row.instruction, principles)),
        "completion": [{"role": "assistant", "content": [{"type": "text", "text": text}]}],
        "images": [{"bytes": row.source, "path": None}, {"bytes": row.edited, "path": None}],
        "verdicts": list(judgement.passed),
        "score": judgement.score,
        "average": sum(judgement.passed) / len(judgement.passed),
        "gold": None if gold is None else [verdict == 1 for verdict in gold["gold"]],
        "gold_reasons": None if gold is None else gold["reasons"],
        "verifier": None if gold is None else gold["teacher"],
        "verifier_model": None if gold is None else gold["model"],
        "row_id": row.id,
        **{name: chosen[name] for name in ("teacher", "model", "variant", "temperature", "seed")},
        "candidate": selected["candidate"],
        "candidates": selected["candidates"],
        "candidates_parsed": len(parsed(candidates, principles)),
        "agreement": selected.get("agreement"),
    }


def _decompose_row(row: EditRow, principles: tuple[Principle, ...], written: Row, prompts: PromptSet) -> Row:
    text = principles_text(prompts, principles)
    return {
        "prompt": messages(prompts.decompose(row.instruction)),
        "completion": [{"role": "assistant", "content": [{"type": "text", "text": text}]}],
        "images": [{"bytes": row.source, "path": None}],
        "row_id": row.task,
        **{name: written[name] for name in ("teacher", "model", "variant", "temperature", "seed")},
    }


class _Files:
    """Writes rows to numbered parquet files of bounded size."""

    def __init__(self, folder: Path, rows_per_file: int, rows_per_group: int) -> None:
        folder.mkdir()
        self._rows_per_file, self._rows_per_group = rows_per_file, rows_per_group
        self._folder = folder
        self._features = features()
        self._rows: list[Row] = []
        self._written = 0
        self._writer: Any = None

    def write(self, row: Row) -> None:
        self._rows.append({name: row.get(name) for name in self._features})
        if len(self._rows) == self._rows_per_group:
            self._flush()

    def finish(self) -> None:
        """Write what is left."""
        self._flush()
        self.close()

    def _flush(self) -> None:
        import pyarrow.parquet as pq
        from datasets import Dataset

        if not self._rows:
            return
        table = Dataset.from_list(self._rows, features=self._features).data.table
        if self._writer is None:
            path = self._folder / f"{self._written // self._rows_per_file:05d}.parquet"
            self._writer = pq.ParquetWriter(path, table.schema)
        self._writer.write_table(table)
        self._written += len(self._rows)
        self._rows = []
        if self._written % self._rows_per_file == 0:
            self.close()

    def close(self) -> None:
        """End the file that is being written, if any."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
