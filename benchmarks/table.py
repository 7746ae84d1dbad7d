"""The figures of a run of all benchmarks that people look for first, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def rows(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was measured and what came of it, of the parts that there are.

    Args:
        found: By part, as `python -m benchmarks` writes it.
    """
    if (overhead := found.get("overhead")) is not None:
        one = overhead["single"]["beyond_decoding_and_judging_ms"]
        yield "one 512 px pair, beyond decoding and judging", _spread(one, "ms")
        for name, ratio in overhead["callers"]["ratios_to_flask_pickle"].items():
            yield f"16 callers with 24 edits each, {name} to flask-pickle", _spread(ratio, "times")
    for part, of in found.items():
        if part.startswith(("probe", "think")):
            yield f"{part}: rewards a second", _spread(of["rates"]["edit-rrm"], "")
            for name, ratio in of["ratios"].items():
                yield f"{part}: to {name}", _spread(ratio, "times")
    if (counts := found.get("counters")) is not None:
        ours, other, again = (counts[name] for name in ("judge's order", "question first", "same source again"))
        yield "tokens computed to question first", f"{ours['computed_tokens'] / other['computed_tokens']:.2f} times"
        yield "images encoded for 24 edits, and for 24 more", f"{ours['encoder_runs']}, {again['encoder_runs']}"
    if (growth := found.get("growth")) is not None:
        for what, power in growth["exponents"].items():
            yield f"a reward's time grows with {what} to the power of", f"{power:.2f}"
    if (step := found.get("trainer step")) is not None:
        for name, of in step["contenders"].items():
            yield f"a trainer's step, {name}: waiting for rewards", _spread(of["waiting_s"], "s")
            yield f"a trainer's step, {name}: seconds", _spread(of["step_s"], "s")


def _spread(spread: Mapping[str, float], unit: str) -> str:
    text = f"{spread['median']:.2f} {unit}".rstrip()
    return f"{text} ({spread['least']:.2f} to {spread['most']:.2f})"
