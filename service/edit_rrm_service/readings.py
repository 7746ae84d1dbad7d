"""Label log-probabilities -> P(yes), or a typed failure. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from edit_rrm.card import ProbeLabels
from edit_rrm.principles import Principle
from edit_rrm.verdicts import Outcome, Verdict
from edit_rrm_service.errors import UnscoredError


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
    yes = sum(math.exp(logprobs[label]) for label in labels.yes if label in logprobs)
    no = sum(math.exp(logprobs[label]) for label in labels.no if label in logprobs)
    mass = yes + no
    if not mass > 0.0 or mass < mass_floor:
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
