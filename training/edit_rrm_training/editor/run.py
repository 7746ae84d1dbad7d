"""A GRPO run put together: service, prompts, model, and the trainer over them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edit_rrm_training.editor.average import MovingAverage
from edit_rrm_training.editor.checkpoint import Checkpoints, newest_state
from edit_rrm_training.editor.editor_card import EditorCard
from edit_rrm_training.editor.judge_recipe import JUDGE, NO_EDIT
from edit_rrm_training.editor.judges import Judges, check_same
from edit_rrm_training.editor.learner import Learner
from edit_rrm_training.editor.load import load_checker, load_pipeline, make_trainable, policy_of, without_adapter
from edit_rrm_training.editor.no_edit import NoEditPenalty
from edit_rrm_training.editor.prepared import check_launch, prepare
from edit_rrm_training.editor.progress import Counted, RunProgress, unheard
from edit_rrm_training.editor.prompts import SHAPES, LoadedPrompts, check_prompts, load_prompts
from edit_rrm_training.editor.recipe import EditorRecipe
from edit_rrm_training.editor.run_record import DEFAULTS, may_change, recorded
from edit_rrm_training.editor.saved_editor import save_editor
from edit_rrm_training.editor.scoring import Judge, Weighted
from edit_rrm_training.editor.trackers import check_installed, start_trackers
from edit_rrm_training.editor.trainer import EditorTrainer, Measure, Watcher
from edit_rrm_training.editor.watch import RunWatcher
from edit_rrm_training.judge.devices import cpu_only
from edit_rrm_training.judge.run_folder import claim


@dataclass(frozen=True)
class Finished:
    """What a run has left."""

    steps: int
    """That are done."""
    editor: Path | None
    """Folder of the trained editor; None where the run was stopped before its last step."""


def train_editor(
    recipe: EditorRecipe,
    output: Path,
    *,
    resume: bool = True,
    measure: Measure | None = None,
    through: Callable[[Judge], Judge] = lambda judge: judge,
    say: Callable[[str], None] = print,
    progress: RunProgress | None = None,
) -> Finished:
    """Train an editing model on the rewards of services.

    Args:
        recipe: What to do.
        output: Folder for checkpoints, the log, pictures and the finished editor (`output / "editor"`).
        resume: Go on from the newest checkpoint there; else delete that run.
        measure: A held-out measure of evaluation edits.
        through: What stands between the run and the client of each judge that is trained on, if anything: a cache, or a
            fault on purpose.
        say: Is told what people may want to know.
        progress: Shows how far the run is, where there is a terminal to show it on.

    Raises:
        RewardClientError: A service is not there, wants another key, or judges by another judge than the run began
            with: before anything is loaded.
        PromptsError: The prompts cannot be used: likewise.
        ValueError: A judge cannot do what it is for, a tracker is not installed or cannot be started, or `output` holds
            another run: likewise. Or the model does not fit the recipe.
        OSError: The model is not there, or the output cannot be written.
        DivergedError: The gradient became no number; the last checkpoint is good.
    """
    from accelerate.tracking import get_available_trackers

    check_installed(recipe.report_to, [str(name) for name in get_available_trackers()])
    with Judges(recipe, through) as judges:
        watcher = partial(RunWatcher, output, steps=recipe.steps, say=say, progress=progress)
        # Every process decodes the sources; the first shows how far it is.
        shown = None if os.environ.get("RANK", "0") != "0" else progress
        told = unheard if shown is None else partial(shown.doing, "decoding sources")
        return _train(recipe, output, judges, resume=resume, measure=measure, watcher=watcher, say=say, told=told)


def _train(
    recipe: EditorRecipe,
    output: Path,
    judges: Judges,
    *,
    resume: bool,
    measure: Measure | None,
    watcher: Callable[..., Watcher],
    say: Callable[[str], None],
    told: Counted,
) -> Finished:
    from accelerate import Accelerator

    identities = judges.identities()
    prompts = load_prompts(recipe.prompts, told=told)
    evaluation = _evaluation(recipe, told)
    check_prompts([prompts, *filter(None, [evaluation])], load_checker(recipe.policy).check)
    measure = measure or _oracle(recipe)
    accelerator = Accelerator(
        mixed_precision="bf16" if recipe.policy.dtype == "bfloat16" else "no",
        log_with=list(recipe.report_to) or None,
        project_dir=str(output),
        cpu=cpu_only(),
    )
    check_launch(accelerator, recipe)
    claim(output, recorded(recipe), resume=resume, may_change=may_change(recipe), defaults=DEFAULTS)
    # The first process may be deleting what was there.
    accelerator.wait_for_everyone()
    if (began := newest_state(output / "checkpoints")) is not None:
        check_same(began, identities, judges.places())
    trackers = start_trackers(accelerator, {**recorded(recipe), "judges": identities}, output, say)
    pipeline = load_pipeline(recipe.policy, accelerator.device)
    make_trainable(recipe.policy, pipeline, seed=recipe.seed)
    policy = policy_of(recipe.policy, pipeline)
    transformer, kind = pipeline.transformer, type(pipeline.transformer)
    prepared = prepare(accelerator, transformer, recipe)
    policy.use(prepared.module)
    average = MovingAverage(prepared.trained, recipe.ema)
    no_edit = NoEditPenalty(policy.bucket, recipe.policy.fit)
    extras = [Weighted(NO_EDIT, recipe.rewards.no_edit, no_edit)] if recipe.rewards.no_edit else []
    scorer, held_out = judges.scorer(extras), judges.held_out()
    learner = Learner(
        policy,
        prepared.optimisation,
        accelerator,
        recipe.objective,
        reference=None if recipe.policy.lora is None else partial(without_adapter, transformer),
        micro_batch=recipe.micro_batch,
    )
    trainer = EditorTrainer(
        recipe,
        policy=policy,
        learner=learner,
        scorer=scorer,
        prompts=prompts,
        checkpoints=Checkpoints(
            accelerator,
            output / "checkpoints",
            keep=recipe.keep,
            trained=prepared.trained,
            optimisation=prepared.optimisation,
            average=average,
            say=say,
        ),
        accelerator=accelerator,
        watcher=watcher(accelerator, trackers=trackers),
        average=average,
        evaluation=evaluation,
        measure=measure,
        held_out=held_out,
        identities=identities,
    )
    try:
        done = trainer.run()
        if trainer.stopped:
            return Finished(done, None)
        weights = average.whole(keep=accelerator.is_main_process)
    finally:
        for one in (scorer, *held_out.values()):
            one.close()
        trackers.end()
        accelerator.end_training()
    if accelerator.is_main_process:
        others = {one.name: identities[one.name] for one in recipe.rewards.others}
        card = EditorCard(policy=recipe.policy, judge=identities[JUDGE], others=others, steps=recipe.steps)
        save_editor(output / "editor", card, pipeline, weights, kind=kind)
    return Finished(done, output / "editor")


def _evaluation(recipe: EditorRecipe, told: Counted) -> LoadedPrompts | None:
    evaluation = recipe.evaluation
    return None if evaluation.prompts is None else load_prompts(evaluation.prompts, evaluation.count, told)


def _oracle(recipe: EditorRecipe) -> Measure | None:
    """The shapes world's own, where it is what is evaluated on."""
    where = recipe.evaluation.prompts or ""
    if not where.startswith(SHAPES):
        return None
    from edit_rrm_training.editor.nano.measure import shapes_measure

    return shapes_measure(where.removeprefix(SHAPES))
