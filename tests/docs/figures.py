"""The shipped judge's figures as the documents print them: `python -m tests.docs.figures` writes the table."""

from __future__ import annotations

from typing import Any

from edit_rrm.card import load_card
from edit_rrm_service.settings import SHIPPED_JUDGE

SPLITS = ("held-out", "held-out-combinations", "held-out-phrasings")
_HEAD = (
    "| split | `think`: verdicts true | `probe`: verdicts true | unmet principles found (`think`, `probe`) "
    '| Φ accepts | decomposition exact | always "yes" |'
)


def figures() -> dict[str, Any]:
    """Measured figures by split, from the shipped judge's card."""
    card = load_card(SHIPPED_JUDGE)
    assert card is not None
    return {split: card.metrics[split] for split in SPLITS}


def table() -> str:
    """The figures as a Markdown table."""
    return "\n".join([_HEAD, "|---" * 7 + "|", *(_row(split, found) for split, found in figures().items())])


def _row(split: str, found: dict[str, Any]) -> str:
    think, probe = found["think"], found["probe"]
    cells = [
        f"`{split}`",
        _share(think["accuracy"]),
        _share(probe["accuracy"]),
        f"{think['recall_of_no']['value']:.1%}, {probe['recall_of_no']['value']:.1%}",
        _share(think["scored"]),
        _share(found["decompose"]["exact"]),
        f"{found['always_yes']['value']:.1%}",
    ]
    return f"| {' | '.join(cells)} |"


def _share(share: dict[str, Any]) -> str:
    return f"{share['value']:.1%} ({share['low']:.1%} to {share['high']:.1%})"


if __name__ == "__main__":
    print(table())
