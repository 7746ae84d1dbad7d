"""`edit-rrm train editor` and `edit-rrm edit`. Heavy imports happen inside, so that `--help` is quick."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edit_rrm_training.commands.splits import SPLIT_NAMES, check_split
from edit_rrm_training.commands.terminal import fail, progress_bar

if TYPE_CHECKING:
    from edit_rrm_training.editor.evaluation import EditorReport
    from edit_rrm_training.judge.intervals import Share


def train_editor_command(
    config: Annotated[Path, typer.Option(help="The run's YAML file; examples/editor/ has some.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, pictures and the finished editor (OUT/editor).")],
    url: Annotated[list[str] | None, typer.Option(help="The service; overrides the file's. May be repeated.")] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=URL",
            help="The service of a further judge that the file names; overrides the file's. May be repeated.",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Override the file's number of steps.")] = None,
    seed: Annotated[int | None, typer.Option(help="Override the file's seed.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Override a field, such as rewards.mode=probe; repeatable."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the run in OUT instead of resuming it.")] = False,
) -> None:
    """Train an editing model by GRPO on the rewards of a running service; run again to resume.

    \b
    The small editor of the shapes world, on a CPU, beside a running service:
        edit-rrm train editor --config examples/editor/nano.yaml --out build/editor

    \b
    FLUX.1-Kontext on 8 GPUs, with the judge elsewhere:
        accelerate launch --num_processes 8 "$(which edit-rrm)" train editor \\
            --config examples/editor/flux-kontext.yaml --url http://judge:8000 --out runs/kontext

    \b
    On 16 GPUs, which cannot share 48 groups for 2 updates evenly:
        --set groups=96

    \b
    With another service as the judge that is never trained on:
        edit-rrm train editor --config run.yaml --judge held_out_judge=http://other:8000 --out runs/kontext
    """
    from edit_rrm_client import RewardClientError
    from edit_rrm_training.editor.recipe import RecipeError, load_editor_recipe, override_of
    from edit_rrm_training.judge.checkpoints import DivergedError

    named: dict[str, Any] = {"steps": steps, "seed": seed}
    given = {name: value for name, value in named.items() if value is not None}
    try:
        overrides = dict(map(override_of, settings or []))
    except RecipeError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from None
    try:
        recipe = load_editor_recipe(config, **overrides | given)
    except RecipeError as error:
        raise typer.BadParameter(str(error), param_hint="--config") from None
    services: dict[str, list[str]] = {"judge": url} if url else {}
    for text in judge or ():
        name, equals, at = text.partition("=")
        if not (name and equals and at):
            raise typer.BadParameter(f"{text} is not NAME=URL", param_hint="--judge")
        services.setdefault(name, []).append(at)
    try:
        recipe = recipe.with_services(services)
    except RecipeError as error:
        raise typer.BadParameter(str(error), param_hint="--judge") from None
    from edit_rrm_training.editor.progress import RunProgress
    from edit_rrm_training.editor.run import train_editor
    from edit_rrm_training.editor.stopping import FailedElsewhereError

    try:
        with RunProgress(recipe.steps) as progress:
            finished = train_editor(recipe, out, resume=not fresh, say=typer.echo, progress=progress)
    except (RewardClientError, FailedElsewhereError, OSError, ValueError, DivergedError) as error:
        fail(str(error))
    if finished.editor is None:
        typer.echo(f"stopped after {finished.steps} of {recipe.steps} steps; run the same command again to go on")
        raise SystemExit(143)
    typer.echo(f"editor: {finished.editor}")


def train_nano_editor_command(
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and the pipeline (OUT/pipeline).")],
    steps: Annotated[int | None, typer.Option(min=1, help="Override the steps of flow matching.")] = None,
    vae: Annotated[str | None, typer.Option(help="Take the VAE of this pipeline (or nano) and train none.")] = None,
    init_from: Annotated[str | None, typer.Option(help="Begin with this nano-editor's weights (or nano's).")] = None,
    perfect: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Override the share of targets that are perfect.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Override the highest learning rate.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, data and noise.")] = 0,
) -> None:
    """Pre-train nano-editor, the small FLUX.1-Kontext of the shapes world; run again to resume.

    \b
        edit-rrm train nano-editor --out build/nano-editor

    \b
    With the shipped VAE, instead of training one:
        edit-rrm train nano-editor --vae nano --out build/nano-editor

    \b
    One that makes more of real editors' mistakes than nano does:
        edit-rrm train nano-editor --init-from nano --perfect 0.5 --learning-rate 3e-4 --steps 600 --out build/careless
    """
    from dataclasses import replace

    from edit_rrm_training.editor.nano.pretrain import NanoEditorRecipe, pretrain
    from edit_rrm_training.editor.shipped import editor_path
    from edit_rrm_training.judge.checkpoints import DivergedError

    given = {"steps": steps, "perfect": perfect, "learning_rate": learning_rate}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    recipe = replace(NanoEditorRecipe(seed=seed), **changes)
    begin, taken = (None if name is None else editor_path(name) for name in (init_from, vae))
    try:
        folder = pretrain(recipe, out, vae=taken, init_from=begin)
    except (OSError, ValueError, DivergedError) as error:
        fail(str(error))
    typer.echo(f"pipeline: {folder}")


def edit_command(
    model: Annotated[str, typer.Option(help="An editor's folder, OUT/editor of `train editor`, or nano.")],
    source: Annotated[Path, typer.Option("--source", "-s", help="The picture to edit.")],
    instruction: Annotated[str, typer.Option("--instruction", "-i", help="What to do.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The picture to write.")] = Path("edited.png"),
    count: Annotated[int, typer.Option(min=1, max=64, help="Edits to make; further ones get a number.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the sampler.")] = 28,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
) -> None:
    """Edit a picture with an editing model that was trained here.

    \b
        edit-rrm edit --model build/editor/editor -s source.png -i "make the red star blue"

    \b
    With nano-editor, which comes with the package and edits pictures of the shapes world:
        edit-rrm edit --model nano -s source.png -i "make the red star blue"
    """
    from PIL import Image, UnidentifiedImageError

    from edit_rrm_training.editor.edit import load_editor, make_edits
    from edit_rrm_training.editor.editor_card import EditorError

    if not source.is_file():
        raise typer.BadParameter(f"{source} is not a file", param_hint="--source")
    try:
        with Image.open(source) as image:
            image.load()
            edits = make_edits(load_editor(model), image, instruction, count=count, steps=steps, seed=seed)
    except (EditorError, UnidentifiedImageError, OSError, ValueError) as error:
        fail(str(error))
    for number, edit in enumerate(edits):
        path = out if number == 0 else out.with_stem(f"{out.stem}-{number}")
        edit.save(path)
        typer.echo(str(path))


def eval_editor_command(
    model: Annotated[
        list[str],
        typer.Option(help="An editor's folder, OUT/editor of `train editor`, or nano. May be repeated."),
    ],
    before: Annotated[
        str | None, typer.Option(help="The editor that training began with: prints what was gained, task by task.")
    ] = None,
    split: Annotated[str, typer.Option(help=f"Which split: {SPLIT_NAMES}.")] = "held-out",
    n: Annotated[int, typer.Option("--n", min=1, help="How many edits.")] = 500,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the sampler.")] = 12,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as JSON.")] = False,
) -> None:
    """Measure how often an editor of the shapes world succeeds, from the pixels of its edits, without a judge.

    \b
        edit-rrm eval editor --model build/editor/editor --split held-out --n 500

    \b
    What two runs made of nano-editor, on the same tasks from the same noise:
        edit-rrm eval editor --model runs/a/editor --model runs/b/editor --before nano
    """
    from edit_rrm_training.editor.editor_card import EditorError
    from edit_rrm_training.editor.evaluation import gains

    check_split(split)
    try:
        reports = {name: _measured(name, split, n, steps) for name in dict.fromkeys(model)}
        found = None if before is None else gains(_measured(before, split, n, steps), list(reports.values()))
    except (EditorError, OSError, ValueError) as error:
        fail(str(error))
    if as_json:
        whole = {name: report.as_json() for name, report in reports.items()}
        changes = None if found is None else {name: asdict(gain) for name, gain in found.items()}
        typer.echo(json.dumps({"editors": whole, "gains": changes}, indent=2))
        return
    for name, report in reports.items():
        typer.echo(f"{name}: {n} edits of {split}, {steps} steps")
        for kind in (None, *sorted(set(report.kinds))):
            shares = "  ".join(f"{key} {_percent(share)}" for key, share in report.shares(kind).items())
            typer.echo(f"  {kind or 'all':<11} {shares}")
    if found is not None:
        typer.echo(f"gained since {before}{f', mean of {len(reports)} editors' if len(reports) > 1 else ''}")
        for name, gain in found.items():
            points = f"{gain.value * 100:+.1f} points ({gain.low * 100:+.1f} to {gain.high * 100:+.1f})"
            typer.echo(f"  {name:<11} {gain.before:.1%} -> {gain.after:.1%}: {points}")


def _measured(model: str, split: str, n: int, steps: int) -> EditorReport:
    from edit_rrm_training.editor.edit import load_editor
    from edit_rrm_training.editor.evaluation import evaluate_editor

    policy = load_editor(model)
    with progress_bar() as bar:
        task = bar.add_task(f"{model}: editing", total=n)
        return evaluate_editor(policy, split, n, steps=steps, progress=lambda done: bar.update(task, completed=done))


def _percent(share: Share) -> str:
    return "-" if share.value is None else f"{share.value:6.1%} ({share.low:.1%} to {share.high:.1%})"
