"""Label log-probabilities -> P(yes), or a typed failure. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from edit_rrm.card import ProbeLabels
from edit_rrm.principles import Principle
from edit_rrm.verdicts import Outcome, Verdict
from edit_rrm_service.errors import UnscoredError


def label_mass(logprobs: Mapping[str, float], labels: ProbeLabels) -> float:
    """Probability that the labels have together, in [0, 1]."""
    return min(1.0, _mass(logprobs, labels.yes) + _mass(logprobs, labels.no))


def below_floor(mass: float, mass_floor: float) -> bool:
    """Whether label mass is too little to mean anything, as none at all is whatever the floor."""
    return not mass > 0.0 or mass < mass_floor


def verdict_from_logprobs(
    principle: Principle, logprobs: Mapping[str, float], labels: ProbeLabels, mass_floor: float
) -> Verdict:
    """Read one probe.

    Args:
        principle: What was asked.
        logprobs: Natural-log probability per label; variants of one answer add up.
        labels: Which labels mean yes, and which no.
        mass_floor: Least probability all labels together need, in [0, 1].

    Returns:
        A verdict with P(yes) normalised over the labels; it passes at one half.

    Raises:
        UnscoredError: The labels got less than `mass_floor`: the judge wanted to say something else, so its yes or no
            would be an artefact.
    """
    yes, no = _mass(logprobs, labels.yes), _mass(logprobs, labels.no)
    mass = yes + no
    if below_floor(mass, mass_floor):
        raise UnscoredError(
            Outcome.LOW_LABEL_MASS,
            f"the judge gave yes and no a probability of {mass:.3f} on {principle.question!r}; at least {mass_floor:g} "
            "is needed for the answer to mean anything (try mode 'think', or a judge trained on these labels)",
        )
    probability = yes / mass
    return Verdict(
        principle=principle,
        passed=probability >= 0.5,
        probability=min(1.0, max(0.0, probability)),
        label_mass=min(1.0, mass),
    )


def _mass(logprobs: Mapping[str, float], variants: Sequence[str]) -> float:
    return sum(math.exp(logprobs[label]) for label in variants if label in logprobs)
