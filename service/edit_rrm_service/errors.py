"""What goes wrong while serving, as exceptions that know their outcome, HTTP status and advice."""

from __future__ import annotations

from collections.abc import Mapping

from edit_rrm.verdicts import ErrorDetail, Outcome

OUTCOME_STATUS: Mapping[Outcome, int] = {
    Outcome.UNPARSABLE: 502,
    Outcome.TRUNCATED: 502,
    Outcome.LOW_LABEL_MASS: 502,
    Outcome.REFUSED: 502,
    Outcome.TIMED_OUT: 504,
    Outcome.OVERLOADED: 429,
    Outcome.CANCELLED: 499,
    Outcome.BAD_IMAGE: 422,
    Outcome.ENGINE_ERROR: 503,
}
"""HTTP status of a single request that ended in an outcome other than `scored`."""

_RETRYABLE = frozenset({Outcome.TIMED_OUT, Outcome.OVERLOADED, Outcome.ENGINE_ERROR})


class UnscoredError(Exception):
    """The judging of one edit (or a decomposition) ended without a number."""

    def __init__(
        self, outcome: Outcome, message: str, *, code: str | None = None, retryable: bool | None = None
    ) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.message = message
        self.code = code or outcome.value
        self.retryable = outcome in _RETRYABLE if retryable is None else retryable

    def detail(self, request_id: str | None, param: str | None = None) -> ErrorDetail:
        """The error as items and bodies carry it."""
        return ErrorDetail(
            code=self.code, message=self.message, param=param, request_id=request_id, retryable=self.retryable
        )


class ApiError(Exception):
    """A request that is answered with an error status and the one error body."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retryable: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retryable = retryable
        self.headers = dict(headers or {})

    def detail(self, request_id: str | None) -> ErrorDetail:
        """The error as the body carries it."""
        return ErrorDetail(
            code=self.code, message=self.message, param=self.param, request_id=request_id, retryable=self.retryable
        )
