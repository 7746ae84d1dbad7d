"""Teachers: who writes principles, thinks, verifies and sorts. Each is a Protocol; see `base`."""

from edit_rrm_training.judge.cold_start.teachers.base import (
    Classifier,
    PrincipleWriter,
    Source,
    Thinker,
    Verifier,
)
from edit_rrm_training.judge.cold_start.teachers.hiring import Staff, hire

__all__ = ["Classifier", "PrincipleWriter", "Source", "Staff", "Thinker", "Verifier", "hire"]
