"""The oracle: knows every scene exactly, so it answers every principle without looking at pixels.

For an edit it writes down the principles (which depend on the instruction alone), and for an edited scene the verdict
on each with a short reason, and a score on the paper's scale: 0 unusable or identical to the source, 5 partly usable,
8 nearly usable, 10 perfect.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edit_rrm.principles import Category, Principle
from edit_rrm_training.shapes.edits import Edit
from edit_rrm_training.shapes.faults import STAY_BEHIND_UID
from edit_rrm_training.shapes.scene import Scene, Thing
from edit_rrm_training.shapes.vocabulary import NUMBERS, RADII, plural

_FOLLOW, _KEEP, _QUALITY = Category.INSTRUCTION_FOLLOWING, Category.FEATURE_PRESERVATION, Category.IMAGE_QUALITY

_MOVED = 6.0
"""An object whose centre moved further than this (pixels) has moved; below a tenth of the image nothing counts."""
_AT_PLACE = 9.0
"""An object this close to a cell's centre (pixels) is at that place; jitter alone is at most 2.9."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One principle, whether an edited scene meets it, and why."""

    principle: Principle
    passed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Truth:
    """All the oracle has to say about one edited scene."""

    findings: tuple[Finding, ...]
    score: float
    """In [0, 10], a multiple of 0.5."""


def judge(source: Scene, edit: Edit, edited: Scene) -> Truth:
    """Judge an edited scene."""
    findings = (*_CHECKS[edit.kind](source, edit, edited), *_quality(edited))
    return Truth(findings, score_findings(source, edit, edited, findings))


def principles(source: Scene, edit: Edit) -> tuple[Principle, ...]:
    """The principles of an edit, in order: instruction following, feature preservation, image quality."""
    return tuple(finding.principle for finding in judge(source, edit, source).findings)


def _finding(category: Category, question: str, passed: bool, reason: str) -> Finding:
    return Finding(Principle(question=question, category=category), passed, reason)


def shown_colour(thing: Thing | None) -> str:
    """An object's colour or colours in words."""
    if thing is None:
        return "gone"
    if thing.right_colour is not None:
        return f"half {thing.colour}, half {thing.right_colour}"
    return thing.colour


def shown_size(thing: Thing) -> str:
    """An object's size in words, with words for the sizes it should not have."""
    exact = [word for word, radius in RADII.items() if radius == thing.radius]
    return (
        exact[0]
        if exact
        else ("tiny" if thing.radius < RADII["small"] else "huge" if thing.radius > RADII["big"] else "between")
    )


def _distance(one: Thing, two: Thing) -> float:
    return math.hypot(one.x - two.x, one.y - two.y)


def _kept(before: Thing, after: Thing | None, aspects: Iterable[str]) -> tuple[bool, str]:
    """Whether an object keeps the named aspects, and the first that it does not."""
    if after is None:
        return False, "gone"
    for aspect in aspects:
        if aspect == "shape" and after.shape != before.shape:
            return False, f"now a {after.shape}"
        if aspect == "color" and (after.colour != before.colour or after.right_colour is not None):
            return False, f"now {shown_colour(after)}"
        if aspect == "size" and after.radius != before.radius:
            return False, f"now {shown_size(after)}"
        if aspect == "place" and _distance(before, after) > _MOVED:
            return False, "moved"
    return True, "same"


def _recolour(source: Scene, edit: Edit, edited: Scene) -> list[Finding]:
    old, new = edit.target, edited.thing(edit.target.uid)
    whole = new is not None and new.colour == edit.colour and new.right_colour is None
    started = new is not None and (new.colour != old.colour or new.right_colour is not None)
    return [
        _finding(
            _FOLLOW, f"Did the {old.name} change color?", started, f"{old.place}: {old.colour} to {shown_colour(new)}"
        ),
        _finding(_FOLLOW, f"Is the {old.shape} now {edit.colour} all over?", whole, shown_colour(new)),
        _keep_finding(old, new, ("shape", "size", "place")),
        *_rest(source, edit, edited),
    ]


def _replace(source: Scene, edit: Edit, edited: Scene) -> list[Finding]:
    old, new = edit.target, edited.thing(edit.target.uid)
    shape = "nothing" if new is None else new.shape
    return [
        _finding(_FOLLOW, f"Is the {old.name} gone?", shape != old.shape, f"{old.place}: {old.shape} to {shape}"),
        _finding(_FOLLOW, f"Is there a {edit.shape} in its place?", shape == edit.shape, shape),
        _keep_finding(old, new, ("color", "size", "place")),
        *_rest(source, edit, edited),
    ]


def _add(source: Scene, edit: Edit, edited: Scene) -> list[Finding]:
    wanted, new = edit.target, edited.thing(edit.target.uid)
    there = new is not None and new.shape == wanted.shape
    seen = "nothing new" if new is None else f"{new.place}: new {new.name}"
    coloured = new is not None and there and new.colour == wanted.colour
    placed = new is not None and there and new.distance_to(edit.place) < _AT_PLACE
    return [
        _finding(_FOLLOW, f"Is there a new {wanted.shape}?", there, seen),
        _finding(
            _FOLLOW, f"Is the new {wanted.shape} {wanted.colour}?", coloured, new.colour if new else "nothing new"
        ),
        _finding(
            _FOLLOW, f"Is the new {wanted.shape} at the {edit.place}?", placed, new.place if new else "nothing new"
        ),
        *_rest(source, edit, edited),
    ]


def _remove(source: Scene, edit: Edit, edited: Scene) -> list[Finding]:
    old, new = edit.target, edited.thing(edit.target.uid)
    seen = "gone" if new is None else "faded" if new.alpha < 1.0 else "still there"
    return [
        _finding(_FOLLOW, f"Did the {old.name} fade or go?", seen != "still there", f"{old.place}: {seen}"),
        _finding(_FOLLOW, "Is its place empty, with no trace left?", seen == "gone", seen),
        *_rest(source, edit, edited),
    ]


def _move(source: Scene, edit: Edit, edited: Scene) -> list[Finding]:
    old, new = edit.target, edited.thing(edit.target.uid)
    left = all(thing.name != old.name or _distance(thing, old) > _MOVED for thing in edited.things)
    arrived = new is not None and new.distance_to(edit.place) < _AT_PLACE
    seen = "gone" if new is None else "between" if new.distance_to(new.place) > _AT_PLACE else new.place
    return [
        _finding(
            _FOLLOW,
            f"Did the {old.name} leave its old place?",
            left,
            f"{old.place}: {'empty' if left else 'still there'}",
        ),
        _finding(_FOLLOW, f"Is it at the {edit.place} now?", arrived, seen),
        _keep_finding(old, new, ("shape", "size", "color")),
        *_rest(source, edit, edited),
    ]


def _resize(source: Scene, edit: Edit, edited: Scene) -> list[Finding]:
    old, new = edit.target, edited.thing(edit.target.uid)
    bigger = edit.size == "big"
    radius = old.radius if new is None else new.radius
    went = radius > old.radius if bigger else radius < old.radius
    reason = "same" if radius == old.radius else "bigger" if radius > old.radius else "smaller"
    word = "bigger" if bigger else "smaller"
    return [
        _finding(_FOLLOW, f"Is the {old.name} {word} than before?", went, f"{old.place}: {reason}"),
        _finding(
            _FOLLOW, f"Is the {old.shape} clearly {edit.size} now?", radius == RADII[edit.size], shown_size(new or old)
        ),
        _keep_finding(old, new, ("shape", "color", "place")),
        *_rest(source, edit, edited),
    ]


def _count(source: Scene, edit: Edit, edited: Scene) -> list[Finding]:
    thing = edit.target
    now = sum(other.name == thing.name for other in edited.things)
    more = edit.number > edit.before
    names = f"{thing.colour} {plural(thing.shape)}"
    exact = (
        f"Is there exactly one {thing.name}?"
        if edit.number == 1
        else f"Are there exactly {NUMBERS[edit.number]} {names}?"
    )
    moved_on = now > edit.before if more else now < edit.before
    return [
        _finding(
            _FOLLOW,
            f"Are there {'more' if more else 'fewer'} {names} than before?",
            moved_on,
            f"{edit.before} to {now}",
        ),
        _finding(_FOLLOW, exact, now == edit.number, str(now)),
        *_rest(source, edit, edited),
    ]


def _background(source: Scene, edit: Edit, edited: Scene) -> list[Finding]:
    half = edited.half_background is not None
    other = edited.background != source.background
    assert edit.background is not None
    seen = "only half" if half else edited.background.name if other else "same"
    return [
        _finding(_FOLLOW, "Did the background change?", half or other, "changed" if half or other else "same"),
        _finding(
            _FOLLOW,
            f"Is the background {edit.background.name} all over?",
            edited.background == edit.background and not half,
            seen,
        ),
        _others(source, edit, edited, "Are the objects unchanged, with none added?"),
        _finding(_KEEP, "Is the light unchanged?", edited.shift is None, edited.shift or "same"),
    ]


def _tone(source: Scene, edit: Edit, edited: Scene) -> list[Finding]:
    seen = "same" if edited.tone is None else f"half {edited.tone}" if edited.tone_half else edited.tone
    return [
        _finding(
            _FOLLOW, "Did the light or tone change?", edited.tone is not None, "changed" if edited.tone else "same"
        ),
        _finding(
            _FOLLOW, f"Is the whole image {edit.tone} now?", edited.tone == edit.tone and not edited.tone_half, seen
        ),
        _others(source, edit, edited, "Are the objects kept in shape, size and place, with none added?"),
    ]


def _compound(source: Scene, edit: Edit, edited: Scene) -> list[Finding]:
    """Both parts' own principles, less the weaker first one of each, then what all of it must keep."""
    findings: list[Finding] = []
    for part in edit.parts:
        own = [found for found in _CHECKS[part.kind](source, part, edited) if found.principle.category is _FOLLOW]
        if part.kind in ("recolour", "resize"):
            # "the circle" alone could be either part's.
            done = own[-1]
            question = done.principle.question.replace(f"the {part.target.shape} ", f"the {part.target.name} ")
            own = [_finding(_FOLLOW, question, done.passed, f"{part.target.place}: {done.reason}")]
        elif part.kind == "remove":
            question = f"Is the {part.target.name} gone, with no trace left?"
            own = [_finding(_FOLLOW, question, own[-1].passed, own[0].reason)]
        elif part.kind in ("replace", "move"):
            if part.kind == "replace":
                question = f"Is there a {part.shape} in place of the {part.target.name}?"
                own = [_finding(_FOLLOW, question, own[-1].passed, own[0].reason)]
            else:
                question = f"Is the {part.target.name} at the {part.place} now?"
                own = [_finding(_FOLLOW, question, own[-1].passed, own[-1].reason)]
        findings.extend(own)
    return [*findings, *_rest(source, edit, edited)]


def _keep_finding(old: Thing, new: Thing | None, aspects: tuple[str, str, str]) -> Finding:
    passed, reason = _kept(old, new, aspects)
    return _finding(_KEEP, f"Does it keep its {aspects[0]}, {aspects[1]} and {aspects[2]}?", passed, reason)


def _rest(source: Scene, edit: Edit, edited: Scene) -> list[Finding]:
    if edited.background != source.background:
        seen = "background changed"
    else:
        seen = f"image {edited.shift}" if edited.shift else "same"
    return [
        _others(source, edit, edited, "Are the other objects unchanged, with none added?"),
        _finding(_KEEP, "Are background and light unchanged?", seen == "same", seen),
    ]


def _others(source: Scene, edit: Edit, edited: Scene, question: str) -> Finding:
    reason = _first_change(source, edit, edited)
    return _finding(_KEEP, question, reason is None, reason or "all same")


def _first_change(source: Scene, edit: Edit, edited: Scene) -> str | None:
    """What became of the first object that the edit does not concern and that is not as it was, or None."""
    parts = edit.parts or (edit,)
    concerned = {part.thing.uid for part in parts if part.thing is not None}
    concerned |= {thing.uid for part in parts for thing in part.added} | {uid for part in parts for uid in part.removed}
    for thing in source.things:
        if thing.uid in concerned:
            continue
        kept, reason = _kept(thing, edited.thing(thing.uid), ("shape", "color", "size", "place"))
        if not kept:
            return f"{thing.place}: {thing.name} {reason}"
    known = concerned | {thing.uid for thing in source.things} | {STAY_BEHIND_UID}
    extra = next((thing for thing in edited.things if thing.uid not in known), None)
    return None if extra is None else f"{extra.place}: new {extra.name}"


def _quality(edited: Scene) -> list[Finding]:
    soft = edited.artefact in ("blur", "blocks")
    return [
        _finding(_QUALITY, "Is the image sharp?", not soft, str(edited.artefact) if soft else "sharp"),
        _finding(
            _QUALITY,
            "Is the image free of noise?",
            edited.artefact != "noise",
            "noise" if edited.artefact == "noise" else "clean",
        ),
    ]


def score_findings(source: Scene, edit: Edit, edited: Scene, findings: tuple[Finding, ...]) -> float:
    """The method's anchors as arithmetic: what was asked for sets the base, and repairs cost deductions."""
    if edited == source:
        return 0.0
    follow = [finding.passed for finding in findings if finding.principle.category is _FOLLOW]
    share = sum(follow) / len(follow)
    base = 10.0 if share == 1.0 else 1.0 if share == 0.0 else 2.0 + 4.0 * share
    deducted = 0.0
    for finding in findings:
        if finding.passed or finding.principle.category is _FOLLOW:
            continue
        if finding.principle.category is _QUALITY:
            deducted += 2.0
        elif finding.reason == "background changed":
            deducted += 3.5
        elif finding.principle.question.startswith("Are the") and "objects" in finding.principle.question:
            deducted += 3.0
        else:
            deducted += 2.0
    return max(0.5, round(2 * (base - deducted * min(1.0, base / 6.0))) / 2)


_CHECKS: dict[str, Callable[[Scene, Edit, Scene], list[Finding]]] = {
    "recolour": _recolour,
    "replace": _replace,
    "add": _add,
    "remove": _remove,
    "move": _move,
    "resize": _resize,
    "background": _background,
    "count": _count,
    "tone": _tone,
    "compound": _compound,
}
