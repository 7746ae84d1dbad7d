"""Pin what the sentinels score now as the baseline: `python -m deploy.prometheus.pin_baseline http://prometheus:9090`.

Run it once a judge has been accepted, read the difference to the committed file, and reload Prometheus. The scores of
all replicas have to agree: a baseline that depends on which replica was asked is none.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx2

BASELINE = Path(__file__).parent / "rules" / "baseline.yaml"
QUERY = "edit_rrm_sentinel_score * on (namespace, job, instance) group_left (identity) edit_rrm_judge_info"
_LABELS = ("identity", "mode", "sentinel")
_AGREE = 0.05
"""Marks that replicas may lie apart: hardware rounds differently, judges do not differ so little."""


class BaselineError(ValueError):
    """Nothing that could be pinned; the message says why."""


def baseline(samples: Sequence[tuple[Mapping[str, str], float]]) -> str:
    """The rules file for these scores of sentinels.

    Args:
        samples: Labels and value of each, as Prometheus has them.

    Raises:
        BaselineError: There are none, one has no score, or replicas disagree.
    """
    scores: dict[tuple[str, ...], float] = {}
    for labels, score in samples:
        key = tuple(labels[name] for name in _LABELS)
        if math.isnan(score):
            raise BaselineError(f"sentinel {labels['sentinel']} ({labels['mode']}) was not scored in the last round")
        if abs(scores.setdefault(key, score) - score) > _AGREE:
            raise BaselineError(
                f"replicas disagree on sentinel {labels['sentinel']} ({labels['mode']}): {scores[key]:g} and {score:g}"
            )
    if not scores:
        raise BaselineError("Prometheus has no scores of sentinels: are they on, and is the service scraped?")
    lines = [
        "# Scores that the sentinels had when the judge was accepted; written by deploy/prometheus/pin_baseline.py.",
        "groups:",
        "  - name: edit_rrm_baseline",
        "    rules:",
    ]
    for key, score in sorted(scores.items()):
        lines += [
            "      - record: edit_rrm:sentinel_score:baseline",
            f"        expr: vector({score:.4f})",
            "        labels:",
            *(f"          {name}: '{value}'" for name, value in zip(_LABELS, key, strict=True)),
        ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask a Prometheus and write the file."""
    parser = argparse.ArgumentParser(prog="pin_baseline", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("url", help="of a Prometheus that scrapes the service")
    parser.add_argument("--out", type=Path, default=BASELINE)
    given = parser.parse_args(arguments)
    try:
        reply = httpx2.get(f"{given.url.rstrip('/')}/api/v1/query", params={"query": QUERY}, timeout=10.0)
        reply.raise_for_status()
        found = reply.json()["data"]["result"]
        text = baseline([(one["metric"], float(one["value"][1])) for one in found])
    except (httpx2.HTTPError, BaselineError) as error:
        print(f"nothing pinned: {error}", file=sys.stderr)
        return 1
    given.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
