"""The tree of the client's errors."""

from __future__ import annotations

import pickle

import pytest

from edit_rrm_client import errors


def test_every_error_is_a_reward_client_error() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) == 10
    assert all(issubclass(kind, errors.RewardClientError) for kind in kinds)
    assert issubclass(errors.AuthenticationError, errors.ApiStatusError)


def test_the_module_draws_every_one_of_them() -> None:
    names = [name for name in vars(errors) if name.endswith("Error")]
    assert errors.__doc__ is not None
    assert all(name in errors.__doc__ for name in names)


@pytest.mark.parametrize("kind", [errors.ApiStatusError, errors.DeadlineError, errors.InvalidImageError])
def test_an_error_survives_the_way_between_processes(kind: type[errors.RewardClientError]) -> None:
    """Trainers with worker processes pickle what was raised."""
    error = kind("no", code="overloaded", status=429, param="edited[1]", request_id="r", retryable=True)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == "no"
    assert vars(copy) == vars(error)
