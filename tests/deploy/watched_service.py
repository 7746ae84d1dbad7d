"""A service to be watched: on a fake engine that does everything there is a series for, as a process of its own.

vLLM's series have its names and labels and made-up values: that PromQL over them is right is shown, not that vLLM
would expose them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edit_rrm.card import JudgeCard
from edit_rrm.prompts import load_prompt_set
from edit_rrm_service.engines.base import Backend, EngineFacts, Prompt
from edit_rrm_service.server import run
from edit_rrm_service.settings import Settings
from edit_rrm_service.state import LoadedJudge
from tests.deploy.series import vllm_families
from tests.fakes.engine import FakeEngine, pictures, words

FAINT, UNREADABLE, SLOW = 230, 240, 250
"""Reds of edits whose probes say neither yes nor no, whose judgement cannot be read, and takes two seconds."""
ANOTHER_INSTRUCTION = "yellow circle"
"""Of the sentinel that has the good edit with an instruction that was not followed."""


def score(prompt: Prompt) -> float:
    """The red of an edit, or what a sentinel deserves: 0 to 10."""
    source, edited = (one.pixels for one in pictures(prompt))
    if not edited.getbbox() or edited.tobytes() == source.tobytes() or ANOTHER_INSTRUCTION in words(prompt):
        return 0.0
    return 9.0 if edited.size == source.size and edited.getcolors(2) is None else red(prompt) / 25.0


def red(prompt: Prompt) -> int:
    """Of an edit's first pixel."""
    pixel = pictures(prompt)[-1].pixels.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return int(pixel[0])


def judgement(prompt: Prompt) -> str:
    """What the judge writes."""
    if red(prompt) == UNREADABLE:
        return "I would rather not say."
    return f"1. a: yes\n2. b: yes\n3. c: no\nverdicts: 1 1 0\n<score>{score(prompt):.1f}</score>"


class WatchedEngine(FakeEngine):
    """Says that it is vLLM, so that its cached tokens count, and that it has two servers, one of them down."""

    @property
    def facts(self) -> EngineFacts:
        return EngineFacts("vllm", "fake-model", "0" * 64, "float32", True, {"version": "1"})

    def backends(self) -> Sequence[Backend]:
        passed = int(10 * time.monotonic())
        return (
            Backend("http://vllm-0:8000", True, 2, {"ok": passed, "failed": 1}),
            Backend("http://vllm-1:8000", False, 0, {"failed": passed}),
        )


class VllmSeries(Collector):
    """One series of each of vLLM's metrics, which grows by one a second."""

    def collect(self) -> Iterator[Metric]:
        passed = time.monotonic()
        for kind, name, labels in vllm_families() or ():
            names = sorted(labels)
            values = ["judge" if label == "model_name" else "0" for label in names]
            if kind == "gauge":
                gauge = GaugeMetricFamily(name, name, labels=names)
                gauge.add_metric(values, 0.5)
                yield gauge
            elif kind == "counter":
                counter = CounterMetricFamily(name, name, labels=names)
                counter.add_metric(values, passed)
                yield counter
            else:
                histogram = HistogramMetricFamily(name, name, labels=names)
                histogram.add_metric(values, [("1.0", passed / 2), ("+Inf", passed)], passed)
                yield histogram


def main() -> int:
    """Serve as the environment says."""
    REGISTRY.register(VllmSeries())
    card = JudgeCard(name="watched judge")
    engine = WatchedEngine(
        judgement=judgement,
        probability=lambda prompt: score(prompt) / 10.0,
        label_mass=lambda prompt: 0.2 if red(prompt) == FAINT else 1.0,
        seconds=lambda prompt: 2.0 if len(pictures(prompt)) == 2 and red(prompt) == SLOW else 0.0,
    )
    judge = LoadedJudge(engine, card, load_prompt_set(card.prompts))
    return run(Settings(), loader=lambda settings: judge)


if __name__ == "__main__":
    sys.exit(main())
