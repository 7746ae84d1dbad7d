"""Edit-RRM's client: what a trainer imports to have its edits judged."""

from edit_rrm_client.client import RewardClient
from edit_rrm_client.errors import (
    ApiStatusError,
    AuthenticationError,
    BadResponseError,
    ConnectionFailedError,
    RewardClientError,
)
from edit_rrm_client.protocol import ImageInput

__all__ = [
    "ApiStatusError",
    "AuthenticationError",
    "BadResponseError",
    "ConnectionFailedError",
    "ImageInput",
    "RewardClient",
    "RewardClientError",
]
