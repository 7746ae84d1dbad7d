"""A run's judges: who they are, and how each is asked. One client for each service, whose judge is pinned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Self

from edit_rrm.verdicts import Mode
from edit_rrm.wire import Identity
from edit_rrm_client import AuthenticationError, IdentityChangedError, RewardClient, RewardClientError
from edit_rrm_client.transport import checked_url
from edit_rrm_training.editor.judge_recipe import JUDGE, JudgeRecipe
from edit_rrm_training.editor.recipe import EditorRecipe
from edit_rrm_training.editor.scoring import Asked, Judge, Scorer, Weighted

_REACHED_S = 30.0
_STATE, _OLD_STATE = "identities", "identity"


class Judges:
    """All judges of a recipe. A context, at whose end their connections are closed."""

    def __init__(self, recipe: EditorRecipe, through: Callable[[Judge], Judge] = lambda judge: judge) -> None:
        """Prepare clients; nothing is sent yet.

        Args:
            recipe: Says which judges there are.
            through: What stands between the run and the client of each judge that is trained on, if anything.

        Raises:
            RewardClientError: A URL or a key is none.
        """
        self._recipe = recipe
        self._through = through
        self._clients: dict[_Service, RewardClient] = {}
        for judge in recipe.judges.values():
            if _service(judge) not in self._clients:
                self._clients[_service(judge)] = RewardClient(
                    judge.url,
                    api_key=judge.api_key,
                    timeout=judge.timeout,
                    expect_identity="first",
                    priority="training",
                )

    def __enter__(self) -> Self:
        """Return them."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        with ExitStack() as stack:
            for client in self._clients.values():
                stack.callback(client.close)

    def identities(self) -> dict[str, str]:
        """Ask all of them who they are.

        Returns:
            Identities by the judges' names, the one of `rewards` first.

        Raises:
            RewardClientError: One is not there or wants another key; the message has its name, URL and the reason.
            ValueError: One cannot do what it will be asked, or the held-out one is trained on.
        """
        told: dict[_Service, Identity] = {}
        for name, judge in self._recipe.judges.items():
            service = _service(judge)
            if service not in told:
                told[service] = _identity(name, judge, self._clients[service])
            if judge.mode is Mode.PROBE and told[service].facts.get("supports_probe") is False:
                raise ValueError(
                    f"{name} cannot be probed: its engine reads no label probabilities; set mode: think, or name "
                    "another service"
                )
        found = {name: told[_service(judge)].identity for name, judge in self._recipe.judges.items()}
        self._check_held_out(
            {name: self._way(judge, told[_service(judge)]) for name, judge in self._recipe.judges.items()}
        )
        return found

    def places(self) -> dict[str, str]:
        """Their URLs by the judges' names, without the keys that URLs may have as passwords."""
        return {name: _place(judge) for name, judge in self._recipe.judges.items()}

    def scorer(self, extras: list[Weighted]) -> Scorer:
        """What gives edits their rewards: the weighted sum of all judges but the held-out one, and of `extras`."""
        rewards = self._recipe.rewards
        return Scorer(
            self._through(self._clients[_service(rewards)]),
            mode=rewards.mode,
            aggregation=rewards.aggregation,
            weight=rewards.weight,
            others=[self._asked(one.name, one.weight) for one in rewards.others],
            extras=extras,
            in_flight=rewards.in_flight,
        )

    def held_out(self) -> dict[str, Scorer]:
        """What asks the held-out judge, by its name; nothing where there is none.

        Nothing is learnt from it: a service that is away leaves a gap in its curve, and the run goes on.
        """
        held_out = self._recipe.evaluation.judge
        if held_out is None:
            return {}
        judge = self._recipe.judges[held_out.name]
        scorer = Scorer(
            self._clients[_service(judge)],
            mode=judge.mode,
            aggregation=judge.aggregation,
            in_flight=self._recipe.rewards.in_flight,
        )
        return {held_out.name: scorer}

    def _asked(self, name: str, weight: float) -> Asked:
        judge = self._recipe.judges[name]
        return Asked(name, self._through(self._clients[_service(judge)]), judge.mode, judge.aggregation, weight)

    def _way(self, judge: JudgeRecipe, told: Identity) -> tuple[str, Mode, str | None]:
        """Who is asked, and how: with the service's own aggregation where none is said."""
        own = told.facts.get("aggregation")
        said = judge.aggregation or (own.get(judge.mode) if isinstance(own, dict) else None)
        return told.identity, judge.mode, said

    def _check_held_out(self, asked: Mapping[str, tuple[str, Mode, str | None]]) -> None:
        held_out = self._recipe.evaluation.judge
        if held_out is None:
            return
        same = [name for name in asked if name != held_out.name and asked[name] == asked[held_out.name]]
        if same:
            raise ValueError(
                f"{held_out.name} (evaluation.judge) is {same[0]}, which is trained on, asked in the same way: name "
                "another service, mode or aggregation"
            )


def as_state(identities: Mapping[str, str]) -> dict[str, Any]:
    """What a checkpoint remembers of the judges."""
    return {_STATE: dict(identities)}


def check_same(
    state: Mapping[str, Any], identities: Mapping[str, str], places: Mapping[str, str] | None = None
) -> None:
    """Return if the judges are those of a checkpoint.

    Args:
        state: What `as_state` made, or what runs remembered that had one judge: its identity alone.
        identities: Of the judges by name.
        places: Their URLs, for people.

    Raises:
        IdentityChangedError: One is another now.
    """
    before: Mapping[str, str] = state[_STATE] if _STATE in state else {JUDGE: state[_OLD_STATE]}
    for name in {**before, **identities}:
        then, now = before.get(name, "no judge"), identities.get(name, "no judge")
        if then != now:
            called = "" if name == JUDGE else f" as {name}"
            called += f" at {places[name]}" if places and name in places else ""
            raise IdentityChangedError(
                f"{now} is judging{called}, and the run began with {then}: their scores do not compare. Serve the old "
                "judge, or begin a new run with --fresh",
                code="identity_mismatch",
            )


_Service = tuple[tuple[str, ...], str, float]


def _service(judge: JudgeRecipe) -> _Service:
    """What judges share that share a client."""
    return judge.urls, judge.api_key_env, judge.timeout


def _identity(name: str, judge: JudgeRecipe, client: RewardClient) -> Identity:
    try:
        return client.identity(timeout=_REACHED_S)
    except AuthenticationError as error:
        hint = f"set {judge.api_key_env} to one that it accepts"
        error.args = (f"{name} at {_place(judge)} wants a key ({error}): {hint}",)
        raise
    except RewardClientError as error:
        at = "" if _place(judge) in str(error) else f" at {_place(judge)}"
        error.args = (f"{name}{at}: {error}",)
        raise


def _place(judge: JudgeRecipe) -> str:
    return ", ".join(checked_url(url)[0] for url in judge.urls)
