"""The oracle of the shapes world as a teacher that errs, in ways that vision-language models do.

A reading starts from the scene. With some chance the reader misses a magnitude: what was half done, or done at a small
displacement, it sees as done, and everything it says follows from that. Then single verdicts are turned around, each
with a reason that a scene of that verdict would give. The score is the oracle's for these verdicts, biased and spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edit_rrm.grammar import Judgement as Parsed
from edit_rrm.grammar import format_judgement, format_principles, parse_judgement
from edit_rrm.principles import Principle
from edit_rrm.verdicts import SCORE_MAX
from edit_rrm_training.judge.cold_start.config import Noise
from edit_rrm_training.judge.cold_start.errors import AnswerError, ColdStartError
from edit_rrm_training.judge.cold_start.exemplars import Exemplar
from edit_rrm_training.judge.cold_start.gold import Gold, format_gold
from edit_rrm_training.judge.cold_start.mixing import format_triage
from edit_rrm_training.judge.cold_start.rows import SHAPES, EditRow
from edit_rrm_training.judge.cold_start.teachers.base import Source
from edit_rrm_training.shapes import Finding, Sample, make
from edit_rrm_training.shapes.edits import apply
from edit_rrm_training.shapes.faults import SIDE_FAULTS, commit, with_side_fault
from edit_rrm_training.shapes.oracle import judge, score_findings
from edit_rrm_training.shapes.scene import Scene

HARD_KINDS = {"compound": "steps", "move": "space", "count": "space", "add": "space", "tone": "detail"}
"""Edit kinds of the shapes world that count as hard, and why."""

_TRIES = 24
"""Faulty scenes looked at for one whose reason fits a wrong verdict."""
_BABBLE = "The edit looks fine to me overall, I would say it is rather good. 8/10!"


def sample_of(origin: str) -> Sample | None:
    """The sample a row came from, or None where it is no row of the shapes world."""
    name, _, index = origin.rpartition("/")
    if not name.startswith(SHAPES) or not index.isdecimal():
        return None
    return make(name.removeprefix(SHAPES), int(index))


class ShapesReader:
    """One reader with its own habits of error."""

    takes_exemplars = False

    def __init__(self, name: str, noise: Noise) -> None:
        """Give it a name and its noise."""
        self.source = Source(name, "shapes-oracle")
        self._noise = noise

    async def write(self, row: EditRow, exemplars: Sequence[Exemplar], seed: int) -> str:
        """The oracle's principles, as `PrincipleWriter`; no noise, or there would be no truth to hold verdicts to."""
        return format_principles([finding.principle for finding in self._sample(row).truth.findings])

    async def think(self, row: EditRow, principles: Sequence[Principle], seed: int) -> str:
        """A noisy judgement, as `Thinker`."""
        rng = np.random.default_rng(seed)
        sample = self._sample(row)
        self._check(sample, principles)
        if rng.random() < self._noise.refuse:
            raise AnswerError("refused", f"{self.source.teacher} refused")
        if rng.random() < self._noise.babble:
            return _BABBLE
        scene, findings = self._read(rng, sample)
        score = score_findings(sample.source, sample.edit, scene, findings)
        score += self._noise.score_bias + self._noise.score_spread * float(rng.standard_normal())
        return format_judgement(
            [finding.reason for finding in findings],
            [finding.passed for finding in findings],
            min(SCORE_MAX, max(0.0, score)),
        )

    async def verify(self, row: EditRow, principles: Sequence[Principle], hints: Sequence[str], seed: int) -> str:
        """Noisy gold, as `Verifier`: a reading of its own, swayed now and then by what most candidates say."""
        rng = np.random.default_rng(seed)
        sample = self._sample(row)
        self._check(sample, principles)
        if rng.random() < self._noise.refuse:
            raise AnswerError("refused", f"{self.source.teacher} refused")
        if rng.random() < self._noise.babble:
            return _BABBLE
        _, findings = self._read(rng, sample)
        votes = [parsed.passed for hint in hints if isinstance(parsed := parse_judgement(hint, principles), Parsed)]
        passed, reasons = [], []
        for index, finding in enumerate(findings):
            swayed = rng.random() < self._noise.swayed
            yes = sum(vote[index] for vote in votes)
            most = finding.passed if 2 * yes == len(votes) else 2 * yes > len(votes)
            passed.append(most if swayed else finding.passed)
            reasons.append(finding.reason if passed[-1] == finding.passed else "as most notes say")
        return format_gold(Gold(tuple(passed), tuple(reasons)), principles)

    async def classify(self, row: EditRow, seed: int) -> str:
        """By the kind of edit, as `Classifier`."""
        kind = self._sample(row).edit.kind
        return format_triage([HARD_KINDS[kind]] if kind in HARD_KINDS else [])

    def _sample(self, row: EditRow) -> Sample:
        sample = sample_of(row.origin)
        if sample is None:
            raise ColdStartError(
                f"teacher {self.source.teacher} is the shapes world's oracle and knows nothing of {row.origin}; "
                f"use --data {SHAPES}SPLIT, or teachers of another kind"
            )
        return sample

    def _check(self, sample: Sample, principles: Sequence[Principle]) -> None:
        if [item.principle for item in sample.truth.findings] != list(principles):
            raise AnswerError(
                "unknown_principles", f"{self.source.teacher} can answer the oracle's own principles only"
            )

    def _read(self, rng: np.random.Generator, sample: Sample) -> tuple[Scene, tuple[Finding, ...]]:
        """What this reader makes of a sample: the scene it believes to see, and its findings."""
        scene = sample.edited.scene
        if rng.random() < self._noise.miss_magnitude:
            scene = finished(sample)
        findings = judge(sample.source, sample.edit, scene).findings
        read = tuple(
            turned(rng, sample, scene, index)
            if rng.random() < self._noise.flip[finding.principle.category]
            else finding
            for index, finding in enumerate(findings)
        )
        return scene, read


def finished(sample: Sample) -> Scene:
    """The edited scene as it would be, had the edit not stopped halfway or gone slightly astray; else as it is."""
    edited = sample.edited
    # A move that is "displaced" arrives, but as another object: nothing about its magnitude.
    if edited.main not in ("half_done", "displaced") or (edited.main == "displaced" and sample.edit.kind == "move"):
        return edited.scene
    done, scene = apply(sample.source, sample.edit), edited.scene
    for uid in sorted(sample.edit.concerned):
        thing = done.thing(uid)
        if thing is None:
            scene = scene.without(uid)
        elif scene.thing(uid) is None:
            scene = scene.plus(thing)
        else:
            scene = scene.with_thing(thing)
    if scene.half_background is not None:
        scene = replace(scene, background=done.background, half_background=None)
    return replace(scene, tone_half=False)


def turned(rng: np.random.Generator, sample: Sample, scene: Scene, index: int) -> Finding:
    """A finding with the opposite verdict, and a reason that goes with it."""
    finding = judge(sample.source, sample.edit, scene).findings[index]
    wanted = not finding.passed
    for other in _scenes(rng, sample):
        found = judge(sample.source, sample.edit, other).findings[index]
        if found.passed == wanted:
            return found
    return Finding(finding.principle, wanted, "as it should be" if wanted else "not as it should be")


def _scenes(rng: np.random.Generator, sample: Sample) -> list[Scene]:
    """Scenes with other verdicts: the perfect edit, then faulty ones."""
    done = apply(sample.source, sample.edit)
    drawn = [commit(rng, sample.source, sample.edit).scene for _ in range(_TRIES)]
    spoilt = [with_side_fault(rng, done, sample.source, sample.edit, fault) for fault in SIDE_FAULTS]
    return [done, *drawn, *(scene for scene in spoilt if scene is not None), sample.source]
