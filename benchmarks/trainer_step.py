r"""How long a trainer's step takes with its rewards from this service, and from `vllm serve` in its place.

    python -m benchmarks.trainer_step --judge build/judges/nano-252 --out build/step.json

A step samples groups with nano-editor, one after the other, and has each judged while the next is sampled, as GRPO
here does; it ends when the last reward is there. Contenders take turns, on the same prompts.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
from PIL import Image

from benchmarks.machine import machine
from benchmarks.speed.__main__ import CONTENDERS
from benchmarks.speed.contender import Judging, Setting
from benchmarks.speed.rounds import Spread
from benchmarks.told import told
from benchmarks.widened import NANO
from edit_rrm.card import load_card
from edit_rrm.verdicts import Mode
from edit_rrm_client import Group
from edit_rrm_client.images import encode_image
from edit_rrm_training.editor.edit import load_editor, make_edits
from edit_rrm_training.editor.policies.base import EditPolicy, PromptTooLongError
from edit_rrm_training.shapes import Sample, make

_APART: Final = 100_000
_STEPS: Final = 6
"""Of a trajectory, as in GRPO's few-step rollouts."""


@dataclass(frozen=True, slots=True)
class Step:
    """Seconds of one step."""

    sampling: float
    waiting: float
    """For rewards, once everything was sampled."""

    @property
    def total(self) -> float:
        """Of both."""
        return self.sampling + self.waiting


def step(policy: EditPolicy, judge: Judging, samples: range, size: int) -> Step:
    """Sample groups and have them judged meanwhile.

    Args:
        policy: The editor.
        judge: Has groups judged.
        samples: Of the shapes world's training split, one for each group.
        size: Edits of a group.

    Raises:
        RuntimeError: Not everything was scored.
    """
    began = time.monotonic()
    with ThreadPoolExecutor(len(samples)) as pool:
        under_way = [pool.submit(judge, [one]) for one in _sampled(policy, samples, size)]
        sampled = time.monotonic()
        scored = sum(found.result().scored for found in under_way)
    ended = time.monotonic()
    if scored != len(samples) * size:
        raise RuntimeError(f"{scored} of {len(samples) * size} edits were scored")
    return Step(sampled - began, ended - sampled)


def _sampled(policy: EditPolicy, samples: range, size: int) -> Iterator[Group]:
    for index in samples:
        sample = _short(policy, index)
        source = Image.fromarray(sample.source_pixels())
        edits = make_edits(policy, source, sample.instruction, count=size, steps=_STEPS, seed=index)
        yield Group(
            sample.instruction,
            encode_image(source),
            [encode_image(edit) for edit in edits],
            tuple(finding.principle for finding in sample.truth.findings),
        )


def _short(policy: EditPolicy, index: int) -> Sample:
    """A sample whose instruction the editor's text encoder takes whole: this one, or the next that is."""
    while True:
        sample = make("train", index)
        try:
            policy.encode([Image.fromarray(sample.source_pixels())], [sample.instruction])
        except PromptTooLongError:
            index += _APART
        else:
            return sample


def compared(steps: Sequence[Mapping[str, Step]]) -> dict[str, dict[str, object]]:
    """Spreads over rounds, by contender; ratios are of the step's seconds to the first one's."""
    first = next(iter(steps[0]))
    return {
        name: {
            "step_s": asdict(Spread.of([one[name].total for one in steps])),
            "sampling_s": asdict(Spread.of([one[name].sampling for one in steps])),
            "waiting_s": asdict(Spread.of([one[name].waiting for one in steps])),
            "times_as_long": asdict(Spread.of([one[name].total / one[first].total for one in steps])),
        }
        for name in steps[0]
    }


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", type=Path, default=NANO, help="Checkpoint folder.")
    parser.add_argument("--mode", choices=[mode.value for mode in Mode], default="probe")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--groups", type=int, default=8, help="Of a step.")
    parser.add_argument("--size", type=int, default=12, help="Edits of a group.")
    parser.add_argument("--contenders", default="edit-rrm,vllm-serve,vllm-serve-question-first")
    parser.add_argument("--logs", type=Path, default=Path("build/speed-logs"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    arguments.logs.mkdir(parents=True, exist_ok=True)
    card = load_card(arguments.judge)
    if card is None:
        parser.error(f"{arguments.judge} has no judge card (edit_rrm.json)")
    setting = Setting(arguments.judge, card, Mode(arguments.mode), arguments.groups, arguments.logs)
    torch.set_num_threads(1)  # a core is the judge's
    policy = load_editor("nano")
    names = arguments.contenders.split(",")
    steps: list[dict[str, Step]] = []
    with ExitStack() as stack:
        judging = {name: stack.enter_context(CONTENDERS[name](setting)) for name in names}
        for number in range(arguments.rounds + 1):
            samples = range(number * arguments.groups, (number + 1) * arguments.groups)
            order = names if number % 2 == 0 else list(reversed(names))
            found = {name: step(policy, judging[name], samples, arguments.size) for name in order}
            print({name: asdict(one) for name, one in found.items()}, file=sys.stderr, flush=True)
            if number > 0:
                steps.append({name: found[name] for name in names})
    alone = statistics.median(one[names[0]].sampling for one in steps)
    told(
        {
            "command": f"python -m benchmarks.trainer_step {' '.join(sys.argv[1:])}".strip(),
            "machine": machine(),
            "judge": arguments.judge.name,
            "mode": arguments.mode,
            "groups": arguments.groups,
            "edits_of_a_group": arguments.size,
            "sampling_s": alone,
            "contenders": compared(steps),
        },
        arguments.out,
    )


if __name__ == "__main__":
    main()
