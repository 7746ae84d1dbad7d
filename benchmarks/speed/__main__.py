r"""Rewards a second of the service and of what a user would run in its place: same judge, same edits, in turns.

python -m benchmarks.widened --size 40M --out build/judges/40M
python -m benchmarks.speed --judge build/judges/40M --mode probe --out build/speed.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks.machine import machine
from benchmarks.speed.contender import Contender, Judging, Setting
from benchmarks.speed.offline import offline
from benchmarks.speed.ours import edit_rrm_serve
from benchmarks.speed.rounds import Comparison, compared
from benchmarks.speed.shapes_groups import shapes_groups
from benchmarks.speed.transformers_batches import transformers_batches
from benchmarks.speed.vllm_serve import as_the_judge_asks, question_first
from benchmarks.told import told
from benchmarks.widened import NANO
from edit_rrm.card import load_card
from edit_rrm.verdicts import Mode
from edit_rrm_client import Group
from edit_rrm_client.bench.workload import Workload, prepared

CONTENDERS: Final[Mapping[str, Contender]] = {
    "edit-rrm": edit_rrm_serve,
    "vllm-serve": as_the_judge_asks,
    "vllm-serve-question-first": question_first,
    "offline": offline,
    "transformers": transformers_batches,
}


def measure(
    setting: Setting, names: Sequence[str], made: Sequence[Group], *, rounds: int
) -> tuple[Comparison, list[dict[str, float]]]:
    """Have every contender judge the same groups, which none has seen, in every round.

    Args:
        setting: What they have in common.
        names: Of contenders; the first is what others are compared with.
        made: Groups with principles, as many for each round, and for one more that is not counted.
        rounds: How many.

    Raises:
        RuntimeError: A contender did not score what the others did.
    """
    groups = len(made) // (rounds + 1)
    found: list[dict[str, float]] = []
    with ExitStack() as stack:
        judging = {}
        for name in names:
            print(f"starting {name}", file=sys.stderr, flush=True)
            judging[name] = stack.enter_context(CONTENDERS[name](setting))
        for number in range(rounds + 1):
            some = made[number * groups : (number + 1) * groups]
            # Every other round the other way round, so that nobody always comes after the same one.
            order = list(names) if number % 2 == 0 else list(reversed(names))
            rates = {name: _rate(name, judging[name], some) for name in order}
            if number > 0:
                found.append({name: rates[name] for name in names})
                print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    return compared(found), found


def _rate(name: str, judge: Judging, groups: Sequence[Group]) -> float:
    edits = sum(len(group.edited) for group in groups)
    found = judge(groups)
    if found.scored != edits:
        raise RuntimeError(f"{name} scored {found.scored} of {edits} edits: rates would not compare")
    return edits / found.seconds


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", type=Path, default=NANO, help="Checkpoint folder.")
    parser.add_argument("--mode", choices=[mode.value for mode in Mode], default="probe")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--groups", type=int, default=2, help="Of a round.")
    parser.add_argument("--size", type=int, default=24, help="Edits of a group.")
    parser.add_argument("--principles", type=int, default=5)
    parser.add_argument("--side", type=int, default=112, help="Of the pictures, pixels.")
    parser.add_argument("--shapes", action="store_true", help="Groups of the shapes world, as its judges can read.")
    parser.add_argument("--in-flight", type=int, default=8, help="Groups at a time.")
    parser.add_argument("--contenders", default=",".join(CONTENDERS), help="By commas; the first is compared.")
    parser.add_argument("--logs", type=Path, default=Path("build/speed-logs"))
    parser.add_argument("--out", type=Path, help="A JSON file for what was found.")
    arguments = parser.parse_args()
    arguments.logs.mkdir(parents=True, exist_ok=True)
    card = load_card(arguments.judge)
    if card is None:
        parser.error(f"{arguments.judge} has no judge card (edit_rrm.json)")
    setting = Setting(arguments.judge, card, Mode(arguments.mode), arguments.in_flight, arguments.logs)
    workload = Workload(arguments.size, arguments.side, principles=arguments.principles)
    names = arguments.contenders.split(",")
    if unknown := sorted(set(names) - set(CONTENDERS)):
        parser.error(f"no contender is called {', '.join(unknown)}; there are {', '.join(CONTENDERS)}")
    count = (arguments.rounds + 1) * arguments.groups
    made = shapes_groups(arguments.size, count) if arguments.shapes else prepared(workload, count)
    comparison, rounds = measure(setting, names, made, rounds=arguments.rounds)
    found = {
        "command": f"python -m benchmarks.speed {' '.join(sys.argv[1:])}",
        "machine": machine(),
        "judge": arguments.judge.name,
        "load": {
            "mode": arguments.mode,
            "groups": arguments.groups,
            **({"group_size": arguments.size, "pictures": "shapes"} if arguments.shapes else asdict(workload)),
        },
        **asdict(comparison),
        "rounds": rounds,
    }
    told(found, arguments.out)


if __name__ == "__main__":
    main()
