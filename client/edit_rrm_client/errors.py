"""What can go wrong for a caller of the service.

::

    RewardClientError
    ├── InvalidImageError        an image that cannot be sent as it is (also a ValueError)
    ├── ConnectionFailedError    nobody answered
    │   └── DeadlineError        not within the time of the whole call, tries and waits included
    ├── ApiStatusError           the service answered with an error status
    │   ├── AuthenticationError  401: the API key is missing or wrong
    │   └── IdentityChangedError another judge than the one that is pinned (never retried, never masked)
    ├── BadResponseError         something answered that is not this service
    ├── UnscoredError            edits that were not measured, where masking them was not asked for
    └── FailureBudgetError       a run in which more edits failed than its policy allows

Each has ``code``, ``retryable`` and, where they are known, ``status``, ``param``, ``request_id``, ``retry_after``
(seconds), ``attempts`` and ``elapsed`` (seconds).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edit_rrm_client.group import GroupResult


class RewardClientError(Exception):
    """Any failure of a call. Carries what is known about it."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "client_error",
        status: int | None = None,
        param: str | None = None,
        request_id: str | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        attempts: int = 0,
        elapsed: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.param = param
        self.request_id = request_id
        self.retryable = retryable
        """Whether sending the same again can succeed."""
        self.retry_after = retry_after
        """Seconds that the service asked to wait."""
        self.attempts = attempts
        """Times it was sent."""
        self.elapsed = elapsed
        """Seconds that the whole call took."""


class InvalidImageError(RewardClientError, ValueError):
    """An image that cannot be sent as it is; the message says what to do with it first."""


class ConnectionFailedError(RewardClientError):
    """The service could not be reached, or broke off."""


class DeadlineError(ConnectionFailedError):
    """There was no answer within the time of the call; ``__cause__`` is what the last try ended in."""


class ApiStatusError(RewardClientError):
    """The service answered with an error; `code` and `param` are its own."""


class AuthenticationError(ApiStatusError):
    """The service wants an API key, or another one."""


class IdentityChangedError(ApiStatusError):
    """Another judge is judging than the one that is pinned: its scores do not compare with those so far."""


class BadResponseError(RewardClientError):
    """The answer is not one this client understands: is the URL right?"""


class UnscoredError(RewardClientError):
    """Edits of a group were not measured; `result` has those that were."""

    result: GroupResult


class FailureBudgetError(RewardClientError):
    """More edits of a run failed than its `FailurePolicy` allows."""
