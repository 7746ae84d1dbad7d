"""A GRPO run put together: service, prompts, model, and the trainer over them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edit_rrm_client import AuthenticationError, RewardClient
from edit_rrm_training.editor.average import MovingAverage
from edit_rrm_training.editor.checkpoint import Checkpoints, begun_with, check_judge
from edit_rrm_training.editor.editor_card import EditorCard
from edit_rrm_training.editor.learner import Learner
from edit_rrm_training.editor.load import load_checker, load_pipeline, make_trainable, policy_of, without_adapter
from edit_rrm_training.editor.no_edit import NoEditPenalty
from edit_rrm_training.editor.prepared import check_launch, prepare
from edit_rrm_training.editor.progress import Counted, RunProgress, unheard
from edit_rrm_training.editor.prompts import SHAPES, LoadedPrompts, check_prompts, load_prompts
from edit_rrm_training.editor.recipe import EditorRecipe, RewardRecipe
from edit_rrm_training.editor.run_record import DEFAULTS, MAY_CHANGE, recorded
from edit_rrm_training.editor.saved_editor import save_editor
from edit_rrm_training.editor.scoring import Judge, Scorer, Weighted
from edit_rrm_training.editor.trackers import check_installed, start_trackers
from edit_rrm_training.editor.trainer import EditorTrainer, Measure, Watcher
from edit_rrm_training.editor.watch import RunWatcher
from edit_rrm_training.judge.devices import cpu_only
from edit_rrm_training.judge.run_folder import claim

_REACHED_S = 30.0


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
    """Train an editing model on the rewards of a service.

    Args:
        recipe: What to do.
        output: Folder for checkpoints, the log, pictures and the finished editor (`output / "editor"`).
        resume: Go on from the newest checkpoint there; else delete that run.
        measure: A held-out measure of evaluation edits.
        through: What stands between the run and the service's client, if anything: a cache, or a fault on purpose.
        say: Is told what people may want to know.
        progress: Shows how far the run is, where there is a terminal to show it on.

    Raises:
        RewardClientError: The service is not there, wants another key, or judges by another judge than the run began
            with: before anything is loaded.
        PromptsError: The prompts cannot be used: likewise.
        ValueError: A tracker is not installed or cannot be started, `output` holds another run: likewise; or the model
            does not fit the recipe.
        OSError: The model is not there, or the output cannot be written.
        DivergedError: The gradient became no number; the last checkpoint is good.
    """
    from accelerate.tracking import get_available_trackers

    check_installed(recipe.report_to, [str(name) for name in get_available_trackers()])
    rewards = recipe.rewards
    with RewardClient(
        rewards.url, api_key=rewards.api_key, timeout=rewards.timeout, expect_identity="first", priority="training"
    ) as client:
        watcher = partial(RunWatcher, output, steps=recipe.steps, say=say, progress=progress)
        # Every process decodes the sources; the first shows how far it is.
        shown = None if os.environ.get("RANK", "0") != "0" else progress
        told = unheard if shown is None else partial(shown.doing, "decoding sources")
        judge = through(client)
        return _train(
            recipe, output, client, judge, resume=resume, measure=measure, watcher=watcher, say=say, told=told
        )


def _train(
    recipe: EditorRecipe,
    output: Path,
    client: RewardClient,
    judge: Judge,
    *,
    resume: bool,
    measure: Measure | None,
    watcher: Callable[..., Watcher],
    say: Callable[[str], None],
    told: Counted,
) -> Finished:
    from accelerate import Accelerator

    identity = _identity(client, recipe.rewards)
    if resume and (began := begun_with(output / "checkpoints")) is not None:
        check_judge(began, identity, f" at {_told(recipe.rewards)}")
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
    claim(output, recorded(recipe), resume=resume, may_change=MAY_CHANGE, defaults=DEFAULTS)
    trackers = start_trackers(accelerator, {**recorded(recipe), "judge": identity}, output, say)
    pipeline = load_pipeline(recipe.policy, accelerator.device)
    make_trainable(recipe.policy, pipeline, seed=recipe.seed)
    policy = policy_of(recipe.policy, pipeline)
    transformer, kind = pipeline.transformer, type(pipeline.transformer)
    prepared = prepare(accelerator, transformer, recipe)
    policy.use(prepared.module)
    average = MovingAverage(prepared.trained, recipe.ema)
    no_edit = NoEditPenalty(policy.bucket, recipe.policy.fit)
    extras = [Weighted("no_edit", recipe.rewards.no_edit, no_edit)] if recipe.rewards.no_edit else []
    scorer = Scorer(
        judge,
        mode=recipe.rewards.mode,
        aggregation=recipe.rewards.aggregation,
        extras=extras,
        in_flight=recipe.rewards.in_flight,
    )
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
        identity=identity,
    )
    try:
        done = trainer.run()
        if done < recipe.steps:
            return Finished(done, None)
        weights = average.whole(keep=accelerator.is_main_process)
    finally:
        scorer.close()
        trackers.end()
        accelerator.end_training()
    if accelerator.is_main_process:
        card = EditorCard(policy=recipe.policy, judge=identity, steps=recipe.steps)
        save_editor(output / "editor", card, pipeline, weights, kind=kind)
    return Finished(done, output / "editor")


def _identity(client: RewardClient, rewards: RewardRecipe) -> str:
    """Who judges.

    Raises:
        RewardClientError: The service is not there, or wants another key.
    """
    try:
        return client.identity(timeout=_REACHED_S).identity
    except AuthenticationError as error:
        raise AuthenticationError(
            f"{_told(rewards)} wants a key ({error}): set {rewards.api_key_env} to one that it accepts",
            code=error.code,
            status=error.status,
        ) from None


def _told(rewards: RewardRecipe) -> str:
    return rewards.url if isinstance(rewards.url, str) else ", ".join(rewards.url)


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
