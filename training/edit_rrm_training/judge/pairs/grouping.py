"""From rows to groups: what cannot be judged is dropped by reason, and the edits of one source are put together.

A group is what one request asks: the source once, every distinct edit of it once. A picture that takes part in several
pairs is therefore scored once, and has the same score in all of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edit_rrm.principles import Principle
from edit_rrm_training.judge.pairs.pair import Pair, Picture, Ranking, Reason, Rejected


@dataclass(frozen=True, slots=True)
class Comparison:
    """One preference among a group's edits."""

    better: int
    """Index into the group's edits."""
    worse: int
    tied: bool
    category: str | None
    dimension: str | None
    ranking: Ranking | None


@dataclass(frozen=True, slots=True)
class Group:
    """A source, an instruction, distinct edits of it, and what people prefer."""

    key: str
    """Names the group by its content, the same in every run."""
    instruction: str
    source: Picture
    edits: tuple[Picture, ...]
    comparisons: tuple[Comparison, ...]
    principles: tuple[Principle, ...] | None


@dataclass(frozen=True, slots=True)
class Assembled:
    """All groups of a benchmark, and the rows that are in none."""

    groups: tuple[Group, ...]
    rejected: tuple[Rejected, ...]
    rows: int
    """Rows read, used or not."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything that is asked and counted; differs where the data do."""
        content = [
            [
                group.key,
                [picture.digest for picture in group.edits],
                [
                    [
                        comparison.better,
                        comparison.worse,
                        comparison.tied,
                        comparison.category,
                        comparison.dimension,
                        None if comparison.ranking is None else [comparison.ranking.name, comparison.ranking.size],
                    ]
                    for comparison in group.comparisons
                ],
                None if group.principles is None else [principle.question for principle in group.principles],
            ]
            for group in self.groups
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def assemble(rows: Iterable[Pair | Rejected]) -> Assembled:
    """Put rows into groups, in the order of their first rows.

    Two rows are about the same thing when source, instruction, dimension, ranking and both edits are the same. Of rows
    that agree the first is kept; of rows that do not, none.
    """
    items = list(rows)
    rejected = [item for item in items if isinstance(item, Rejected)]
    about: dict[tuple[object, ...], list[Pair]] = {}
    for pair in items:
        if isinstance(pair, Rejected):
            continue
        if pair.better.digest == pair.worse.digest:
            rejected.append(Rejected(pair.row, Reason.IDENTICAL_IMAGES))
            continue
        edits = frozenset((pair.better.digest, pair.worse.digest))
        what = (pair.source.digest, pair.instruction, pair.dimension, pair.ranking, edits)
        about.setdefault(what, []).append(pair)
    kept: list[Pair] = []
    for same in about.values():
        first, *others = same
        if len({_preference(pair) for pair in same}) > 1:
            rejected += [Rejected(pair.row, Reason.CONTRADICTORY, _names(same)) for pair in same]
            continue
        kept.append(first)
        rejected += [Rejected(pair.row, Reason.DUPLICATE, f"as {first.row}") for pair in others]
    together: dict[tuple[str, str], list[Pair]] = {}
    for pair in kept:
        together.setdefault((pair.source.digest, pair.instruction), []).append(pair)
    groups = tuple(_group(pairs) for pairs in together.values())
    return Assembled(groups, tuple(rejected), len(items))


def _preference(pair: Pair) -> str:
    return "tied" if pair.tied else pair.better.digest


def _names(pairs: Sequence[Pair]) -> str:
    return "; ".join(pair.row for pair in pairs)


def _group(pairs: Sequence[Pair]) -> Group:
    first = pairs[0]
    # In the order of their digests: benchmarks put the winner first, and a request must not tell which one won.
    edits = dict(sorted({picture.digest: picture for pair in pairs for picture in (pair.better, pair.worse)}.items()))
    index = {digest: position for position, digest in enumerate(edits)}
    comparisons = tuple(
        Comparison(
            index[pair.better.digest],
            index[pair.worse.digest],
            pair.tied,
            pair.category,
            pair.dimension,
            pair.ranking,
        )
        for pair in pairs
    )
    key = hashlib.sha256(json.dumps([first.source.digest, first.instruction]).encode()).hexdigest()[:20]
    return Group(key, first.instruction, first.source, tuple(edits.values()), comparisons, first.principles)
