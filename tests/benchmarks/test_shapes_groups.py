"""Groups of the shapes world for benchmarks."""

from __future__ import annotations

from benchmarks.speed.shapes_groups import shapes_groups


def test_no_two_edits_are_alike_and_principles_are_the_samples_own() -> None:
    groups = shapes_groups(24, 3)
    assert len(groups) == 3
    edits = [edit for group in groups for edit in group.edited]
    assert len(edits) == len(set(edits)) == 72
    assert all(group.principles for group in groups)
    assert len({group.instruction for group in groups}) == 3
