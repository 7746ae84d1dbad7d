"""Rewards as rows of a table: null where nothing was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from edit_rrm.verdicts import Outcome, Reward

MAY_PASS = frozenset({Outcome.TIMED_OUT, Outcome.OVERLOADED, Outcome.ENGINE_ERROR, Outcome.CANCELLED})
"""Outcomes that say nothing about the row: asked again, it may well be scored."""

_VERDICT = pa.struct(
    [
        ("question", pa.string()),
        ("category", pa.string()),
        ("passed", pa.bool_()),
        ("probability", pa.float64()),
        ("rationale", pa.string()),
    ]
)
RESULT_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("score", pa.float64()),
        ("reward", pa.float64()),
        ("outcome", pa.string()),
        ("error_code", pa.string()),
        ("error_message", pa.string()),
        ("verdicts", pa.list_(_VERDICT)),
        ("reasoning", pa.string()),
        ("identity", pa.string()),
        ("request_id", pa.string()),
    ]
)


def output_schema(kept: pa.Schema) -> pa.Schema:
    """Schema of the output.

    Args:
        kept: Of the columns that are carried over.
    """
    return pa.schema([field.with_metadata(None) for field in kept] + list(RESULT_SCHEMA))


def result_table(window: pa.Table, rewards: Sequence[Reward]) -> pa.Table:
    """The output's rows for a window.

    Args:
        window: In canonical form; a window without ``row`` gives a table without it.
        rewards: One each row.
    """
    kept = {name.removeprefix("keep."): window[name] for name in window.column_names if name.startswith("keep.")}
    fields = [field for field in RESULT_SCHEMA if field.name != "row"]
    results = pa.Table.from_pylist([_row(one) for one in rewards], schema=pa.schema(fields))
    row = {"row": window["row"]} if "row" in window.column_names else {}
    return pa.table({**kept, **row, **{name: results[name] for name in results.column_names}})


def _row(reward: Reward) -> dict[str, Any]:
    error = reward.error
    verdicts = [
        {
            "question": verdict.principle.question,
            "category": verdict.principle.category.value,
            "passed": verdict.passed,
            "probability": verdict.probability,
            "rationale": verdict.rationale,
        }
        for verdict in reward.verdicts
    ]
    return {
        "score": reward.score,
        "reward": reward.reward,
        "outcome": reward.outcome.value,
        "error_code": None if error is None else error.code,
        "error_message": None if error is None else error.message,
        "verdicts": verdicts or None,
        "reasoning": reward.reasoning,
        "identity": reward.identity,
        "request_id": reward.request_id or (None if error is None else error.request_id),
    }
