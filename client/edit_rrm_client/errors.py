"""What can go wrong for a caller of the service.

::

    RewardClientError
    ├── ConnectionFailedError    nobody answered
    ├── ApiStatusError           the service answered with an error status
    │   └── AuthenticationError  401: the API key is missing or wrong
    └── BadResponseError         something answered that is not this service
"""

from __future__ import annotations


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
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.param = param
        self.request_id = request_id
        self.retryable = retryable


class ConnectionFailedError(RewardClientError):
    """The service could not be reached or did not answer in time."""


class ApiStatusError(RewardClientError):
    """The service answered with an error; `code` and `param` are its own."""


class AuthenticationError(ApiStatusError):
    """The service wants an API key, or another one."""


class BadResponseError(RewardClientError):
    """The answer is not one this client understands: is the URL right?"""
