"""Edit-RRM's client: what a trainer imports to have its edits judged."""

from edit_rrm_client.async_client import AsyncRewardClient
from edit_rrm_client.client import RewardClient
from edit_rrm_client.errors import (
    ApiStatusError,
    AuthenticationError,
    BadResponseError,
    ConnectionFailedError,
    DeadlineError,
    FailureBudgetError,
    IdentityChangedError,
    InvalidImageError,
    RewardClientError,
    UnscoredError,
)
from edit_rrm_client.failure_policy import FailureBudget, FailurePolicy, group_advantages
from edit_rrm_client.group import Group, GroupResult
from edit_rrm_client.images import ImageInput
from edit_rrm_client.stats import Stats

__all__ = [
    "ApiStatusError",
    "AsyncRewardClient",
    "AuthenticationError",
    "BadResponseError",
    "ConnectionFailedError",
    "DeadlineError",
    "FailureBudget",
    "FailureBudgetError",
    "FailurePolicy",
    "Group",
    "GroupResult",
    "IdentityChangedError",
    "ImageInput",
    "InvalidImageError",
    "RewardClient",
    "RewardClientError",
    "Stats",
    "UnscoredError",
    "group_advantages",
]
