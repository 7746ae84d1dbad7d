r"""Runs of GRPO on nano-editor that differ in one thing, and what came of them by the oracle that none of them saw.

    edit-rrm serve --port 8017 &
    python -m benchmarks.editor_runs run --url http://127.0.0.1:8017 --out build/editor-runs/good-0
    python -m benchmarks.editor_runs run --url http://127.0.0.1:8017 --out build/editor-runs/failing-0 --failing 0.05
    python -m benchmarks.editor_runs run --url http://127.0.0.1:8017 --out build/editor-runs/zeros-0 --failing 0.05 \
        --as-zero
    python -m benchmarks.editor_runs run --url http://127.0.0.1:8018 --out build/editor-runs/careless-0 --mode think
    python -m benchmarks.editor_runs report good-0 failing-0 --runs build/editor-runs --out docs/results/editor
    python -m benchmarks.editor_runs compare docs/results/editor/report.json:good-0 \
        docs/results/editor/report.json:failing-0

A run against another judge is the same command against another service. A run that was interrupted is gone on with.
`report --scale 1.4` measures every editor so many times as far on, too, as `good-further-0`. `compare` says what the
second editor has over the first on the same held-out tasks; `REPORT:before` is the editor that training began with.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.unreliable_judge import UnreliableJudge
from edit_rrm.verdicts import Mode
from edit_rrm_training.editor.curves import draw, read_run
from edit_rrm_training.editor.edit import load_editor
from edit_rrm_training.editor.evaluation import EditorReport, evaluate_editor, gains
from edit_rrm_training.editor.merge import merge_editors
from edit_rrm_training.editor.recipe import load_editor_recipe
from edit_rrm_training.editor.run import train_editor
from edit_rrm_training.editor.scoring import Judge
from edit_rrm_training.judge.intervals import paired_gain

_RECIPE = Path("examples/editor/nano.yaml")
_SPLIT = "held-out"


def run(arguments: argparse.Namespace) -> None:
    """Train one editor."""
    fields = {name: getattr(arguments, name) for name in ("seed", "steps") if getattr(arguments, name) is not None}
    recipe = load_editor_recipe(arguments.config, **fields)
    asked = {"url": arguments.url} | ({} if arguments.mode is None else {"mode": arguments.mode})
    recipe = recipe.model_copy(update={"rewards": recipe.rewards.model_copy(update=asked)})

    def through(judge: Judge) -> Judge:
        if not arguments.failing:
            return judge
        return UnreliableJudge(judge, share=arguments.failing, as_zero=arguments.as_zero)

    train_editor(recipe, arguments.out, through=through)


def report(arguments: argparse.Namespace) -> None:
    """Measure finished editors on held-out tasks, all on the same ones from the same noise, and draw their curves."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    before = _measured(arguments.before, arguments.n)
    folders = {name: arguments.runs / name / "editor" for name in arguments.names}
    if arguments.scale is not None:
        folders |= _further(folders, arguments.scale)
    after = {name: _measured(folder, arguments.n) for name, folder in folders.items()}
    found: dict[str, Any] = {"before": _told(before), "editors": {}, "scale": arguments.scale}
    for name, one in after.items():
        changes = {measure: asdict(gain) for measure, gain in gains(before, [one]).items()}
        found["editors"][name] = {**_told(one), "gains": changes}
    for name in arguments.names:
        found["editors"][name]["seconds"] = _seconds(arguments.runs / name)
        (arguments.out / name).mkdir(exist_ok=True)
        shutil.copyfile(arguments.runs / name / "log.jsonl", arguments.out / name / "log.jsonl")
    for kind, names in _seeds(list(after)).items():
        together = gains(before, [after[name] for name in names])
        found.setdefault("kinds", {})[kind] = {measure: asdict(gain) for measure, gain in together.items()}
    (arguments.out / "report.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    draw([read_run(arguments.runs / name, name) for name in arguments.names], arguments.out / "curves.png")
    print(json.dumps(found["kinds"], indent=2))


def compare(arguments: argparse.Namespace) -> None:
    """Say what one editor has over another, task by task."""
    print(json.dumps(differences(_measures(arguments.first), _measures(arguments.second)), indent=2))


def differences(first: dict[str, Any], second: dict[str, Any]) -> dict[str, dict[str, float]]:
    """What the second editor has over the first on the same tasks, by measure, with 95% intervals.

    Args:
        first: An editor as a report has it; its outcomes are a character a task, 1 where a measure held.
        second: The other.

    Raises:
        ValueError: They were asked to do different things.
    """
    asked = [{name: one[name] for name in ("split", "edits", "steps")} for one in (first, second)]
    if asked[0] != asked[1]:
        raise ValueError(f"editors are compared on the same tasks: one has {asked[0]}, the other {asked[1]}")
    both = {name: [list(map(int, one["outcomes"][name])) for one in (first, second)] for name in first["outcomes"]}
    return {name: asdict(paired_gain(*outcomes)) for name, outcomes in both.items()}


def _measures(name: str) -> dict[str, Any]:
    path, _, editor = name.rpartition(":")
    report = json.loads(Path(path).read_text(encoding="utf-8"))
    editors: dict[str, dict[str, Any]] = {"before": report["before"], **report["editors"]}
    if editor not in editors:
        raise SystemExit(f"{path} has no editor {editor!r}; it has {', '.join(editors)}")
    if "outcomes" not in editors[editor]:
        raise SystemExit(f"{path} does not keep each task's outcome: measure its editors again with `report`")
    return editors[editor]


def _told(report: EditorReport) -> dict[str, Any]:
    """A report with each task's outcome, so that editors can be compared that were not measured together."""
    outcomes = {name: "".join(str(int(one)) for one in found) for name, found in report.outcomes().items()}
    return {**report.as_json(), "outcomes": outcomes}


def _measured(model: str | Path, count: int) -> EditorReport:
    print(f"{model}: {count} edits of {_SPLIT}", flush=True)
    return evaluate_editor(load_editor(model), _SPLIT, count)


def _further(folders: dict[str, Path], scale: float) -> dict[str, Path]:
    """Every editor again, so many times as far from where training began."""
    found = {}
    for name, folder in folders.items():
        kind, _, seed = name.rpartition("-")
        further = folder.with_name("further")
        merge_editors([folder], further, scale=scale)
        found[f"{kind}-further-{seed}"] = further
    return found


def _seeds(names: list[str]) -> dict[str, list[str]]:
    """Runs that differ in their seed alone: `good-0` and `good-1` are of one kind."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(name.rpartition("-")[0] or name, []).append(name)
    return kinds


def _seconds(folder: Path) -> dict[str, float]:
    """Means over a run's steps: of each part, and of the scoring that was hidden."""
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [entry for entry in map(json.loads, lines) if "sampling_s" in entry]
    names = ("sampling_s", "scoring_s", "waited_s", "updating_s", "hidden")
    return {name: statistics.fmean(step[name] for step in steps) for name in names}


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run", help="Train one editor.")
    one.add_argument("--url", required=True, help="The service.")
    one.add_argument("--out", type=Path, required=True, help="The run's folder.")
    one.add_argument("--config", type=Path, default=_RECIPE, help="The run's YAML file.")
    one.add_argument("--seed", type=int, help="Overrides the file's.")
    one.add_argument("--steps", type=int, help="Overrides the file's.")
    one.add_argument("--mode", type=Mode, choices=list(Mode), help="How the judge verifies; overrides the file's.")
    one.add_argument("--failing", type=float, default=0.0, help="Share of edits that are not measured, on purpose.")
    one.add_argument("--as-zero", action="store_true", help="Tell those as a measured 0.")
    one.set_defaults(call=run)
    all_of_them = commands.add_parser("report", help="Measure finished editors.")
    all_of_them.add_argument("names", nargs="+", help="Of runs: NAME-SEED.")
    all_of_them.add_argument("--runs", type=Path, required=True, help="Folder that they are in.")
    all_of_them.add_argument("--out", type=Path, required=True, help="For report.json, curves.png and NAME/log.jsonl.")
    all_of_them.add_argument("--before", default="nano", help="Where they began.")
    all_of_them.add_argument("--n", type=int, default=500, help="Tasks.")
    all_of_them.add_argument("--scale", type=float, help="Measure the editors so many times as far on, too.")
    all_of_them.set_defaults(call=report)
    two = commands.add_parser("compare", help="What the second of two editors has over the first.")
    for name in ("first", "second"):
        two.add_argument(name, help="Path of a report.json, a colon, and an editor's name in it, or `before`.")
    two.set_defaults(call=compare)
    arguments = parser.parse_args()
    arguments.call(arguments)


if __name__ == "__main__":
    main()
