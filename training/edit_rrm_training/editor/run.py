"""A GRPO run put together: service, prompts, model, and the trainer over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edit_rrm_training.editor.average import MovingAverage
from edit_rrm_training.editor.checkpoint import Checkpoints
from edit_rrm_training.editor.editor_card import EditorCard
from edit_rrm_training.editor.judge_recipe import JUDGE, NO_EDIT
from edit_rrm_training.editor.judges import Judges
from edit_rrm_training.editor.learner import Learner
from edit_rrm_training.editor.load import load_pipeline, make_trainable, policy_of, without_adapter
from edit_rrm_training.editor.prepared import check_launch, prepare
from edit_rrm_training.editor.progress import RunProgress
from edit_rrm_training.editor.prompts import SHAPES, Prompts, load_prompts
from edit_rrm_training.editor.recipe import EditorRecipe
from edit_rrm_training.editor.saved_editor import save_editor
from edit_rrm_training.editor.scoring import Judge, Weighted, no_edit_penalty
from edit_rrm_training.editor.trainer import EditorTrainer, Measure, Watcher
from edit_rrm_training.editor.watch import RunWatcher
from edit_rrm_training.judge.devices import cpu_only
from edit_rrm_training.judge.run_folder import claim

if TYPE_CHECKING:
    from accelerate import Accelerator


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
        RewardClientError: A service is not there, or wants another key: before anything is loaded.
        PromptsError: The prompts cannot be used: likewise.
        ValueError: A judge cannot do what it is for: likewise. Or `output` holds another run, or the model does not fit
            the recipe.
        OSError: The model is not there, or the output cannot be written.
        DivergedError: The gradient became no number; the last checkpoint is good.
    """
    with Judges(recipe, through) as judges:
        watcher = partial(RunWatcher, output, steps=recipe.steps, say=say, progress=progress)
        return _train(recipe, output, judges, resume=resume, measure=measure, watcher=watcher)


def _train(
    recipe: EditorRecipe,
    output: Path,
    judges: Judges,
    *,
    resume: bool,
    measure: Measure | None,
    watcher: Callable[[Accelerator], Watcher],
) -> Finished:
    from accelerate import Accelerator

    identities = judges.identities()
    prompts = load_prompts(recipe.prompts)
    evaluation = _evaluation(recipe)
    measure = measure or _oracle(recipe)
    claim(output, {"stage": "editor", **recipe.facts()}, resume=resume)
    accelerator = Accelerator(
        mixed_precision="bf16" if recipe.policy.dtype == "bfloat16" else "no",
        log_with=list(recipe.report_to) or None,
        project_dir=str(output),
        cpu=cpu_only(),
    )
    check_launch(accelerator)
    accelerator.init_trackers("edit-rrm")
    pipeline = load_pipeline(recipe.policy, accelerator.device)
    make_trainable(recipe.policy, pipeline)
    policy = policy_of(recipe.policy, pipeline)
    transformer, kind = pipeline.transformer, type(pipeline.transformer)
    prepared = prepare(accelerator, transformer, recipe)
    policy.use(prepared.module)
    average = MovingAverage(prepared.trained, recipe.ema)
    extras = [Weighted(NO_EDIT, recipe.rewards.no_edit, no_edit_penalty)] if recipe.rewards.no_edit else []
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
        ),
        accelerator=accelerator,
        watcher=watcher(accelerator),
        average=average,
        evaluation=evaluation,
        measure=measure,
        held_out=held_out,
        identities=identities,
    )
    try:
        done = trainer.run()
        if done < recipe.steps:
            return Finished(done, None)
        weights = average.whole(keep=accelerator.is_main_process)
    finally:
        for one in (scorer, *held_out.values()):
            one.close()
        accelerator.end_training()
    if accelerator.is_main_process:
        others = {one.name: identities[one.name] for one in recipe.rewards.others}
        card = EditorCard(policy=recipe.policy, judge=identities[JUDGE], others=others, steps=recipe.steps)
        save_editor(output / "editor", card, pipeline, weights, kind=kind)
    return Finished(done, output / "editor")


def _evaluation(recipe: EditorRecipe) -> Prompts | None:
    evaluation = recipe.evaluation
    return None if evaluation.prompts is None else load_prompts(evaluation.prompts, evaluation.count)


def _oracle(recipe: EditorRecipe) -> Measure | None:
    """The shapes world's own, where it is what is evaluated on."""
    where = recipe.evaluation.prompts or ""
    if not where.startswith(SHAPES):
        return None
    from edit_rrm_training.editor.nano.measure import shapes_measure

    return shapes_measure(where.removeprefix(SHAPES))
