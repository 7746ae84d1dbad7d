"""Edit-RRM: the judge's language. Pure: no I/O beyond package data, no torch, no web framework."""

from edit_rrm.aggregation import aggregate, average
from edit_rrm.card import JudgeCard
from edit_rrm.grammar import Failure, FailureKind, Judgement, parse_judgement, parse_principles
from edit_rrm.principles import Category, Principle
from edit_rrm.prompts import PromptSet, load_prompt_set
from edit_rrm.verdicts import Aggregation, ErrorDetail, Mode, Outcome, Reward, Usage, Verdict

__all__ = [
    "Aggregation",
    "Category",
    "ErrorDetail",
    "Failure",
    "FailureKind",
    "JudgeCard",
    "Judgement",
    "Mode",
    "Outcome",
    "Principle",
    "PromptSet",
    "Reward",
    "Usage",
    "Verdict",
    "aggregate",
    "average",
    "load_prompt_set",
    "parse_judgement",
    "parse_principles",
]
