"""Runs on the toy policy: they learn, are gone on with as if nothing had been, and stop with the last good state."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from edit_rrm.verdicts import Aggregation, Mode, Outcome
from edit_rrm_client import FailureBudgetError, Group, GroupResult, IdentityChangedError, RewardClientError
from edit_rrm_training.editor.checkpoint import CheckpointError
from edit_rrm_training.editor.policies.base import Condition
from edit_rrm_training.editor.scoring import Asked, Scorer, Weighted
from edit_rrm_training.judge.checkpoints import DivergedError
from tests.client.steps import scored, unscored
from tests.training.editor.toy_policy import ToyPolicy
from tests.training.editor.toy_run import PROMPTS, BlueJudge, DiesAfter, Notes, toy_run, weights

ROOT = Path(__file__).parents[3]


def test_a_run_learns_and_says_how_it_goes(tmp_path: Path) -> None:
    notes, judge = Notes(), BlueJudge()
    assert toy_run(tmp_path, judge, notes, steps=40, save_every=40, evaluation={"every": 20, "count": 2}).run() == 40
    rewards = [step["reward"] for step in notes.steps]
    assert np.mean(rewards[-5:]) > np.mean(rewards[:5]) + 0.15
    assert [step["number"] for step in notes.steps] == list(range(40))
    assert {"group_spread", "masked", "dead_groups", "kl", "clipped", "hidden", "sampling_s"} <= set(notes.steps[0])
    assert notes.steps[0]["masked"] == 0.0
    # Evaluated before the first step, on the way and after the last; the held-out measure rises with the reward.
    assert [number for number, _ in notes.evaluations] == [0, 20, 40]
    first, last = (found.measures for _, found in (notes.evaluations[0], notes.evaluations[-1]))
    assert last["judge"] > first["judge"] + 0.15
    assert last["blue"] > first["blue"] + 0.15
    # Whoever watches is told of every part, however little of it is done.
    assert {what for what, _, _ in notes.parts} == {"sampling", "scoring", "updating", "evaluating"}
    assert all(0 <= done < total for _, done, total in notes.parts)
    # Groups of one prompt, its source sent as it is; nobody was asked about two prompts at once.
    trained = [group for group in judge.asked if len(group.edited) == 8]
    assert len(trained) == 40 * 4
    assert {(group.instruction, group.source) for group in trained} == {(one.instruction, one.file) for one in PROMPTS}


def test_a_groups_edits_may_begin_alike(tmp_path: Path) -> None:
    spreads = []
    for same in (False, True):
        # Nearly no noise on the way: edits that begin alike end nearly alike.
        sampling = {"steps": 4, "noise_level": 1e-3, "same_start": same}
        notes = Notes()
        toy_run(tmp_path / str(same), BlueJudge(), notes, steps=1, sampling=sampling).run()
        spreads.append(notes.steps[0]["group_spread"])
    assert spreads[1] < 0.1 * spreads[0]


class _Remembers(ToyPolicy):
    """Notes by which weights it draws, and by which it learns."""

    def __init__(self) -> None:
        super().__init__()
        self.drew: list[torch.Tensor] = []
        self.learnt: list[torch.Tensor] = []

    def velocity(self, latents: torch.Tensor, time: float, condition: Condition) -> torch.Tensor:
        notes = self.learnt if torch.is_grad_enabled() else self.drew
        now = torch.nn.utils.parameters_to_vector(self.trained.parameters()).detach().clone()
        if not notes or not torch.equal(notes[-1], now):
            notes.append(now)
        return super().velocity(latents, time, condition)


def test_the_moving_average_may_draw(tmp_path: Path) -> None:
    policy, notes = _Remembers(), Notes()
    sampling = {"sampler": "match", "steps": 4, "weights": "averaged"}
    run = toy_run(
        tmp_path, BlueJudge(), notes, policy=policy, steps=2, sampling=sampling, loss="nft", ema=0.9, ema_every=1
    )
    run.run()
    # Two updates a step. The average begins as the weights after the first one, and then takes in 9 / 11 of the newest.
    before, first, second, third = policy.learnt
    assert torch.equal(policy.drew[0], before)
    assert torch.allclose(policy.drew[1], first + (second - first) * 9 / 11, atol=1e-7)
    assert not torch.allclose(policy.drew[1], second, atol=1e-4)
    # What is learnt goes on from the newest weights.
    assert (third - second).norm() < (third - first).norm()
    assert notes.steps[1]["ratio_deviation"] > 0.0


AVERAGED = {"sampling": {"sampler": "match", "steps": 4, "weights": "averaged"}, "loss": "nft"}


@pytest.mark.parametrize(
    "fields", [{}, {"rewards": {"url": "http://toy", "staleness": 1}}, AVERAGED], ids=["fresh", "stale", "averaged"]
)
def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path: Path, fields: dict[str, Any]) -> None:
    uninterrupted = Notes()
    whole = toy_run(tmp_path / "whole", BlueJudge(), uninterrupted, **fields)
    assert whole.run() == 6
    killed = toy_run(tmp_path / "killed", DiesAfter(4 * 4, _interrupted), Notes(), **fields)
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    notes = Notes()
    resumed = toy_run(tmp_path / "killed", BlueJudge(), notes, **fields)
    assert resumed.run() == 6
    assert [step["number"] for step in notes.steps] == [3, 4, 5]
    assert torch.equal(weights(resumed), weights(whole))
    # The moving average is what is evaluated: it was gone on with too.
    assert notes.evaluations[-1][1].measures == uninterrupted.evaluations[-1][1].measures
    again = Notes()
    assert toy_run(tmp_path / "killed", BlueJudge(), again, **fields).run() == 6
    assert again.steps == []


def _interrupted() -> None:
    raise KeyboardInterrupt


def test_what_was_not_measured_is_masked_and_too_much_of_it_stops_the_run(tmp_path: Path) -> None:
    notes = Notes()
    toy_run(tmp_path / "few", BlueJudge(failing=0.2), notes, steps=20).run()
    assert 0.05 < np.mean([step["masked"] for step in notes.steps]) < 0.4
    rewards = [step["reward"] for step in notes.steps]
    assert np.mean(rewards[-4:]) > np.mean(rewards[:4])
    many = Notes()
    fields: dict[str, Any] = {"steps": 100, "save_every": 100, "evaluation": {"count": 4, "every": 100, "steps": 4}}
    fields["rewards"] = {"url": "http://toy", "failed_over": 2}
    with pytest.raises(FailureBudgetError, match="of the last 64 edits were not scored"):
        toy_run(tmp_path / "many", BlueJudge(failing=0.4), many, **fields).run()
    assert len(many.steps) == 1, "two steps were looked at, of which the second was not learnt from"


def test_another_judge_than_the_runs_is_refused(tmp_path: Path) -> None:
    toy_run(tmp_path, BlueJudge(), Notes(), steps=3).run()
    with pytest.raises(IdentityChangedError, match="red is judging, and the run began with blue"):
        toy_run(tmp_path, BlueJudge(), Notes(), identity="red").run()


def test_a_held_out_judge_is_asked_about_evaluations_and_never_about_what_is_trained_on(tmp_path: Path) -> None:
    judge, witness, notes = BlueJudge(), BlueJudge(), Notes()
    fields: dict[str, Any] = {"steps": 5, "evaluation": {"every": 5, "count": 2, "steps": 4}}
    toy_run(tmp_path / "watched", judge, notes, held_out={"witness": Scorer(witness)}, **fields).run()
    assert [number for number, _ in notes.evaluations] == [0, 5]
    for _, found in notes.evaluations:
        assert found.measures["witness"] == found.measures["judge"]
        (said,) = found.held_out.values()
        assert [one.result for one in said] == [one.result for one in found.scored]
        assert found.rewards == {}
    assert len(witness.asked) == 2 * 2
    # The very edits that the judge saw then, and none of a group of training.
    assert [group.edited for group in witness.asked] == [
        group.edited for group in judge.asked if len(group.edited) == 1
    ]
    # Nothing of what is trained depends on it.
    alone = Notes()
    toy_run(tmp_path / "alone", BlueJudge(), alone, **fields).run()
    assert [step["reward"] for step in alone.steps] == [step["reward"] for step in notes.steps]
    assert alone.evaluations[-1][1].measures == {
        name: value for name, value in notes.evaluations[-1][1].measures.items() if name != "witness"
    }


def test_a_held_out_judge_that_measured_nothing_has_no_mean(tmp_path: Path) -> None:
    notes = Notes()
    toy_run(tmp_path, BlueJudge(), notes, steps=1, held_out={"witness": Scorer(BlueJudge(failing=1.1))}).run()
    assert all(set(found.measures) == {"judge", "blue"} for _, found in notes.evaluations)
    assert not notes.evaluations[0][1].held_out["witness"][0].mask.any()


class RedJudge(BlueJudge):
    """The less blue, the better."""

    def _judged(self, image: Any) -> Any:
        found = super()._judged(image)
        return found if found.score is None else scored(10.0 - found.score)


def test_a_run_learns_the_weighted_sum_of_its_judges(tmp_path: Path) -> None:
    """A second judge that wants the contrary, and weighs more, has its way."""
    notes = Notes()
    scorer = Scorer(BlueJudge(), others=[Asked("red", RedJudge(failing=0.1), weight=3.0)])
    toy_run(tmp_path, BlueJudge(), notes, scorer=scorer, steps=40, save_every=40).run()
    first, last = notes.steps[0], notes.steps[-1]
    assert last["reward_red"] > first["reward_red"] + 0.1
    assert last["reward_judge"] < first["reward_judge"] - 0.1
    assert 0.0 < np.mean([step["masked"] for step in notes.steps]) < 0.3
    for _, found in notes.evaluations:
        assert set(found.rewards) <= {"reward", "reward_judge", "reward_red"}
        assert "reward_red" not in found.measures
    whole = [found for _, found in notes.evaluations if all(one.mask.all() for one in found.scored)]
    assert whole
    for found in whole:
        parts = found.rewards
        assert found.measures["judge"] == pytest.approx(parts["reward_judge"])
        assert parts["reward"] == pytest.approx(parts["reward_judge"] + 3.0 * parts["reward_red"], abs=1e-5)


def test_other_judges_than_the_runs_are_refused(tmp_path: Path) -> None:
    both = {"second": "green", "witness": "grey"}
    toy_run(tmp_path, BlueJudge(), Notes(), further=both, steps=3).run()
    for name in both:
        with pytest.raises(
            IdentityChangedError, match=f"red is judging as {name}, and the run began with {both[name]}"
        ):
            toy_run(tmp_path, BlueJudge(), Notes(), further=both | {name: "red"}).run()
    notes = Notes()
    toy_run(tmp_path, BlueJudge(), notes, further=both).run()
    assert [step["number"] for step in notes.steps] == [3, 4, 5]


def test_a_checkpoint_of_a_run_that_knew_of_one_judge_is_gone_on_with(tmp_path: Path) -> None:
    toy_run(tmp_path, BlueJudge(), Notes(), steps=3).run()
    state = tmp_path / "checkpoints" / "checkpoint-3" / "run_state.json"
    remembered = json.loads(state.read_text())
    state.write_text(json.dumps({"step": 3, "averaged": remembered["averaged"], "identity": "blue", "updates": 6}))
    with pytest.raises(IdentityChangedError, match="red is judging, and the run began with blue"):
        toy_run(tmp_path, BlueJudge(), Notes(), identity="red").run()
    notes = Notes()
    toy_run(tmp_path, BlueJudge(), notes).run()
    assert [step["number"] for step in notes.steps] == [3, 4, 5]


class Terminates(BlueJudge):
    """A judge with which the process is asked to end, in the third step of training."""

    def score_groups(
        self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
    ) -> list[GroupResult]:
        if len(self.asked) == 2 + 2 * 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().score_groups(groups, mode=mode, aggregation=aggregation)


def test_after_sigterm_what_was_learnt_is_saved_and_what_was_drawn_comes_again(tmp_path: Path) -> None:
    whole = toy_run(tmp_path / "whole", BlueJudge(), Notes(), steps=5, save_every=50)
    whole.run()
    notes, before = Notes(), signal.getsignal(signal.SIGTERM)
    assert toy_run(tmp_path, Terminates(), notes, steps=5, save_every=50).run() == 2
    more = Notes()
    resumed = toy_run(tmp_path, BlueJudge(), more, steps=5, save_every=50)
    assert resumed.run() == 5
    assert [step["number"] for step in notes.steps + more.steps] == list(range(5))
    assert torch.equal(weights(resumed), weights(whole))
    assert signal.getsignal(signal.SIGTERM) is before


class Hangs(Terminates):
    """It then has no answer for as long as a service that is away may have none."""

    def __init__(self) -> None:
        super().__init__()
        self.back = threading.Event()

    def score_groups(
        self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
    ) -> list[GroupResult]:
        found = super().score_groups(groups, mode=mode, aggregation=aggregation)
        if len(self.asked) > 2 + 2 * 4:
            self.back.wait(60.0)
        return found


@pytest.mark.parametrize("staleness", [0, 1])
def test_sigterm_does_not_wait_for_a_service_that_is_away(tmp_path: Path, staleness: int) -> None:
    judge, began = Hangs(), time.monotonic()
    rewards = {"url": "http://toy", "staleness": staleness}
    try:
        assert toy_run(tmp_path, judge, Notes(), steps=5, save_every=50, rewards=rewards).run() == 2 - staleness
        assert time.monotonic() - began < 20.0
    finally:
        judge.back.set()
    more = Notes()
    assert toy_run(tmp_path, BlueJudge(), more, steps=5, save_every=50, rewards=rewards).run() == 5
    assert [step["number"] for step in more.steps] == list(range(2 - staleness, 5))


def test_after_sigterm_nothing_is_evaluated_until_the_run_goes_on(tmp_path: Path) -> None:
    """An evaluation takes minutes, and a scheduler's patience is half of one."""
    due = {"every": 2, "count": 2, "steps": 4}

    class InTheEvaluation(BlueJudge):
        def score_groups(
            self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
        ) -> list[GroupResult]:
            if len(self.asked) == 2 + 2 * 4:
                assert len(groups[0].edited) == 1
                os.kill(os.getpid(), signal.SIGTERM)
            return super().score_groups(groups, mode=mode, aggregation=aggregation)

    notes = Notes()
    assert toy_run(tmp_path, InTheEvaluation(), notes, steps=5, save_every=50, evaluation=due).run() == 2
    assert [step for step, _ in notes.evaluations] == [0]
    more = Notes()
    assert toy_run(tmp_path, BlueJudge(), more, steps=5, save_every=50, evaluation=due).run() == 5
    assert [step for step, _ in more.evaluations] == [2, 4, 5]
    again = toy_run(tmp_path, BlueJudge(), more, steps=5, save_every=50, evaluation=due)
    assert not again.stopped
    assert again.run() == 5
    assert [step for step, _ in more.evaluations] == [2, 4, 5], "what was evaluated is not evaluated again"


def test_a_run_that_is_stopped_in_its_last_evaluation_is_not_at_its_end(tmp_path: Path) -> None:
    class InTheLast(BlueJudge):
        def score_groups(
            self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
        ) -> list[GroupResult]:
            if len(self.asked) == 2 + 4:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().score_groups(groups, mode=mode, aggregation=aggregation)

    stopped, notes = toy_run(tmp_path, InTheLast(), Notes(), steps=1), Notes()
    assert stopped.run() == 1
    assert stopped.stopped
    resumed = toy_run(tmp_path, BlueJudge(), notes, steps=1)
    assert resumed.run() == 1
    assert not resumed.stopped
    assert [step for step, _ in notes.evaluations] == [1]


class Refuses(BlueJudge):
    """Answers so many groups, and then nobody any more."""

    def __init__(self, groups: int, error: Exception | None = None, *, retryable: bool = True) -> None:
        super().__init__()
        self._groups = groups
        self._error = error
        self._retryable = retryable

    def score_groups(
        self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
    ) -> list[GroupResult]:
        found = super().score_groups(groups, mode=mode, aggregation=aggregation)
        if len(self.asked) <= self._groups:
            return found
        if self._error is not None:
            raise self._error
        outcome = unscored(Outcome.TIMED_OUT, retryable=self._retryable)
        return [GroupResult((outcome,) * len(group.edited)) for group in groups]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RewardClientError("no such key", code="unauthorized"), "no such key"),
        (None, "not one of the 32 edits of step 2 was scored; look at the service.*timed_out"),
    ],
    ids=["refused", "unmeasured"],
)
def test_a_run_without_a_judge_stops_at_once_and_keeps_what_it_learnt(
    tmp_path: Path, error: Exception | None, told: str
) -> None:
    run = toy_run(tmp_path, Refuses(2 + 2 * 4, error), Notes(), steps=9, save_every=50)
    with pytest.raises(RewardClientError, match=told):
        run.run()
    more = Notes()
    assert toy_run(tmp_path, BlueJudge(), more, steps=3, save_every=50).run() == 3
    assert [step["number"] for step in more.steps] == [2]


def test_an_evaluation_that_never_can_be_judged_is_no_reason_to_stop(tmp_path: Path) -> None:
    """A run that stopped for it would stop there again however often it is gone on with."""
    notes = Notes()
    toy_run(tmp_path, Refuses(0, retryable=False), notes, save_every=50)._evaluate(0)
    ((_, found),) = notes.evaluations
    assert set(found.measures) == {"blue"}


def test_an_evaluation_while_the_service_is_away_is_none(tmp_path: Path) -> None:
    due = {"every": 2, "count": 2, "steps": 4}
    notes = Notes()
    with pytest.raises(FailureBudgetError, match="not one of the 2 edits of an evaluation was scored"):
        toy_run(tmp_path, Refuses(2 + 2 * 4), notes, steps=4, save_every=50, evaluation=due).run()
    assert [step for step, _ in notes.evaluations] == [0]
    toy_run(tmp_path, BlueJudge(), notes, steps=4, save_every=50, evaluation=due).run()
    assert [step for step, _ in notes.evaluations] == [0, 2, 4]


class _Overflows(ToyPolicy):
    """A policy that says what is no number from some pass on."""

    def __init__(self, passes: int) -> None:
        super().__init__()
        self._left = passes

    def velocity(self, latents: torch.Tensor, time: float, condition: Condition) -> torch.Tensor:
        self._left -= 1
        return super().velocity(latents, time, condition) * (float("nan") if self._left < 0 else 1.0)


def test_nan_stops_the_run_and_is_never_saved(tmp_path: Path) -> None:
    toy_run(tmp_path, BlueJudge(), Notes(), steps=2, save_every=1).run()
    broken = toy_run(tmp_path, BlueJudge(), Notes(), steps=9, save_every=1, policy=_Overflows(60))
    with pytest.raises(DivergedError, match="the step was not made"):
        broken.run()
    resumed = toy_run(tmp_path, BlueJudge(), Notes(), steps=9, save_every=1)
    assert resumed.run() == 9
    assert weights(resumed).isfinite().all()


def test_checkpoints_are_whole_and_few(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    toy_run(tmp_path, BlueJudge(), Notes(), steps=5, save_every=1, keep=2).run()
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-4", "checkpoint-5"]
    # One that was killed while it was written does not count, nor does one that lost its end.
    (folder / "checkpoint-9.partial").mkdir()
    (folder / "checkpoint-8").mkdir()
    notes = Notes()
    toy_run(tmp_path, BlueJudge(), notes, steps=6, save_every=1, keep=2).run()
    assert [step["number"] for step in notes.steps] == [5]


def test_the_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    toy_run(tmp_path, BlueJudge(), Notes(), steps=1, save_every=1).run()
    policy = ToyPolicy()
    policy.trained.get_parameter("0.bias").requires_grad_(False)
    with pytest.raises(ValueError, match="checkpoint-1 is the checkpoint of another model or adapter; choose another"):
        toy_run(tmp_path, BlueJudge(), Notes(), steps=2, policy=policy).run()


def test_a_full_disk_says_which_checkpoint_is_whole(tmp_path: Path) -> None:
    toy_run(tmp_path, BlueJudge(), Notes(), steps=2, save_every=1).run()
    (tmp_path / "checkpoints" / "checkpoint-3.partial").write_text("in the way")
    run = toy_run(tmp_path, BlueJudge(), Notes(), steps=4, save_every=1)
    with pytest.raises(CheckpointError, match=r"step 3 could not be written.*the last whole one is .*checkpoint-2"):
        run.run()


def test_scoring_hides_behind_sampling(tmp_path: Path) -> None:
    """A judge that takes a while is not waited for while there is something to draw."""

    class Slow(BlueJudge):
        def score_groups(
            self, groups: Sequence[Group], *, mode: Mode = Mode.THINK, aggregation: Aggregation | None = None
        ) -> list[GroupResult]:
            time.sleep(0.15)
            return super().score_groups(groups, mode=mode, aggregation=aggregation)

    waited = {}
    for staleness in (0, 1):
        notes = Notes()
        rewards = {"url": "http://toy", "staleness": staleness, "in_flight": 1}
        run = toy_run(tmp_path / str(staleness), Slow(), notes, steps=5, save_every=5, rewards=rewards)
        run.run()
        waited[staleness] = [step["waited_s"] for step in notes.steps]
    assert min(waited[0]) > 0.0
    # One step late, the judge has had the time of a whole step.
    assert sum(waited[1]) < sum(waited[0])


def test_other_rewards_are_added_and_what_was_not_measured_stays_masked() -> None:
    half = Weighted("half", 0.5, lambda prompt, edits: np.ones(len(edits), np.float32))
    scorer = Scorer(BlueJudge(failing=0.5), extras=[half])
    edits = [Image.new("RGB", (4, 4), (0, 0, shade)) for shade in range(0, 250, 25)]
    found = scorer.submit(PROMPTS[0], edits).result()
    assert 0 < found.mask.sum() < 10
    assert (np.isnan(found.rewards) == ~found.mask).all()
    assert found.rewards[found.mask] == pytest.approx(found.result.rewards[found.mask] + 0.5)


@pytest.mark.slow
def test_two_processes_make_the_updates_of_one_and_log_what_it_logs(tmp_path: Path) -> None:
    found, logged = {}, {}
    for count in (1, 2):
        out = tmp_path / str(count)
        out.mkdir()
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
        command += [str(Path(__file__).parent / "toy_run.py"), str(out)]
        environment: dict[str, Any] = os.environ | {
            "ACCELERATE_USE_CPU": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(map(str, [ROOT, *(ROOT / name for name in ("rrm", "client", "training"))])),
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr[-3_000:]
        processes, found[count], logged[count] = torch.load(out / "weights.pt")
        assert processes == count
    assert torch.allclose(found[1], found[2], atol=1e-6)
    # The first process's groups are half of the step's, and what is logged is of all.
    names = ("reward", "masked", "dead_groups", "group_spread", "reward_redness")
    for one, two in zip(logged[1], logged[2], strict=True):
        assert one["dead_groups"] == 0.25
        assert [two[name] for name in names] == pytest.approx([one[name] for name in names], abs=1e-3)
