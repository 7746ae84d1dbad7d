"""The shapes world: a small synthetic editing world with an exact oracle, where claims about judges can be checked."""

from edit_rrm_training.shapes.oracle import Finding, Truth, judge, principles
from edit_rrm_training.shapes.render import Pixels, render
from edit_rrm_training.shapes.sample import SPLITS, Sample, make

__all__ = ["SPLITS", "Finding", "Pixels", "Sample", "Truth", "judge", "make", "principles", "render"]
