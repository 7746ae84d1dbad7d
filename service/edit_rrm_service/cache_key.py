"""Keys of what can be remembered: the identity of the judge, the canonical request, and digests of what it saw. Pure.

Every part is framed by its kind and length, so that no two different requests can run together into one key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from edit_rrm.principles import Principle
from edit_rrm.verdicts import Mode

_VERSION = "v1"
"""Of keys and entries; what another version wrote is never read."""


def decomposition_key(identity: str, instruction: str, source: str) -> str:
    """Key of an instruction's principles.

    Args:
        identity: Hash of what is judging.
        instruction: As the request model has it.
        source: Digest of the source image as the judge sees it.
    """
    return _key("decomposition", [identity, instruction, source])


def verification_key(
    identity: str,
    instruction: str,
    principles: Sequence[Principle],
    source: str,
    edited: str,
    *,
    mode: Mode,
    samples: int,
    temperature: float,
    top_p: float,
    seed: int | None,
) -> str:
    """Key of an edit's verdicts, before they are aggregated: one entry serves every aggregation.

    Args:
        identity: Hash of what is judging.
        instruction: As the request model has it.
        principles: In order; the judge reads them in order.
        source: Digest of the source image as the judge sees it.
        edited: Digest of the edited one.
        mode: How they are verified.
        samples: Answers averaged.
        temperature: Of sampling.
        top_p: Of sampling.
        seed: Of sampling.
    """
    questions = [text for principle in principles for text in (principle.category.value, principle.question)]
    sampling = [repr(samples), repr(float(temperature)), repr(float(top_p)), repr(seed)]
    if mode is Mode.PROBE:
        sampling = []  # probes read probabilities; nothing is sampled
    return _key("verification", [identity, instruction, source, edited, mode.value, *sampling, *questions])


def _key(kind: str, parts: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for frame in _framed([kind, *parts]):
        digest.update(frame)
    return f"edit-rrm:{_VERSION}:{kind}:{digest.hexdigest()}"


def _framed(parts: Sequence[str]) -> Iterator[bytes]:
    yield f"{len(parts)}:".encode()
    for part in parts:
        data = part.encode()
        yield f"{len(data)}:".encode()
        yield data
