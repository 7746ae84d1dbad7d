"""A judged group as HTML: edits ranked side by side, each with its verdicts, reasoning, score, and where it came from.

Pure. Everything that a judge or a user wrote is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from edit_rrm.principles import Category
from edit_rrm.verdicts import SCORE_MAX, ErrorDetail, Reward, Verdict
from edit_rrm.wire import RewardsResponse

TITLES: Mapping[Category, str] = {
    Category.INSTRUCTION_FOLLOWING: "Follows the instruction",
    Category.FEATURE_PRESERVATION: "Keeps the rest",
    Category.IMAGE_QUALITY: "Image quality",
}


def ranked(results: Sequence[Reward]) -> list[int]:
    """Places of results from the best score to the worst; what was not scored comes last, in the order sent."""
    return sorted(
        range(len(results)),
        key=lambda place: (results[place].score is None, -(results[place].score or 0.0), place),
    )


def judgement(
    instruction: str, reply: RewardsResponse, names: Sequence[str], source: str | None, edited: Sequence[str | None]
) -> str:
    """The page's picture of a group.

    Args:
        instruction: What was asked of the edits.
        reply: What the service said.
        names: Of the edits' files, in the order sent.
        source: Data URL; None where the file cannot be shown.
        edited: Of the edits, in the order sent.
    """
    results = reply.results
    scored = sum(one.score is not None for one in results)
    said = f"{scored} of {len(results)} edits scored" if len(results) > 1 else ""
    # Edits with one score share a place: the judge has not told them apart.
    places = dict(reversed([*_places(results)]))
    cards = "".join(
        _card(results[at], names[at], source, edited[at], None if len(results) == 1 else places.get(results[at].score))
        for at in ranked(results)
    )
    seconds = reply.timing_ms.get("total")
    took = "" if seconds is None else f"{seconds / 1e3:.2f} s"
    told = " · ".join(filter(None, (said, took, f"identity {reply.identity[:12]}", f"request {reply.request_id}")))
    return (
        f'<section class="rrm-judgement" aria-label="Judgement"><h2>{escape(instruction)}</h2>'
        f'<p class="rrm-told">{escape(told)}</p><div class="rrm-cards">{cards}</div></section>'
    )


def trouble(detail: ErrorDetail) -> str:
    """Why there is no judgement, in the service's own words."""
    where = f" ({detail.param})" if detail.param else ""
    again = " Trying again may help." if detail.retryable else ""
    request = f'<p class="rrm-told">request {escape(detail.request_id)}</p>' if detail.request_id else ""
    return (
        f'<div class="rrm-trouble" role="alert"><strong>{escape(detail.code)}{escape(where)}</strong> '
        f"{escape(detail.message)}.{again}{request}</div>"
    )


def swipe(source: str | None, edited: str | None, name: str) -> str:
    """Two pictures over each other, and a handle that shows more of one or the other; without both, what there is."""
    if edited is None:
        return '<p class="rrm-nothing">no picture: the file cannot be read as one</p>'
    after = f'<img src="{edited}" alt="{escape(name)}">'
    if source is None:
        return f'<div class="rrm-swipe">{after}</div>'
    return (
        f'<div class="rrm-swipe"><div class="rrm-pair"><img src="{source}" alt="source">'
        f'<div class="rrm-after">{after}</div></div>'
        f'<input type="range" min="0" max="100" value="0" aria-label="swipe between {escape(name)} and the source">'
        '<div class="rrm-ends" aria-hidden="true"><span>edit</span><span>source</span></div></div>'
    )


def verdicts(found: Iterable[Verdict]) -> str:
    """Verdicts by category, in the order asked."""
    by_category: dict[Category, list[Verdict]] = {}
    for one in found:
        by_category.setdefault(one.principle.category, []).append(one)
    return "".join(
        f"<h4>{TITLES[category]}</h4><ul>{''.join(map(_verdict, by_category[category]))}</ul>"
        for category in TITLES
        if category in by_category
    )


def mark(passed: bool) -> str:
    """Yes or no, for eyes and for screen readers, not by colour alone."""
    shown, said = ("✓", "yes") if passed else ("✗", "no")
    return f'<span class="rrm-mark rrm-{said}" role="img" aria-label="{said}">{shown}</span>'


def _places(results: Sequence[Reward]) -> Iterable[tuple[float | None, int]]:
    return ((results[at].score, place) for place, at in enumerate(ranked(results), 1) if results[at].score is not None)


def _card(reward: Reward, name: str, source: str | None, edited: str | None, place: int | None) -> str:
    rank = "" if place is None else f'<span class="rrm-rank">#{place}</span> '
    head = f"<header><h3>{rank}{escape(name)}</h3>{_score(reward)}</header>{swipe(source, edited, name)}"
    if reward.error is not None:
        return f'<article class="rrm-card">{head}{trouble(reward.error)}</article>'
    reasoning = (
        f"<details><summary>The judge's reasoning</summary><pre>{escape(reward.reasoning)}</pre></details>"
        if reward.reasoning
        else ""
    )
    return (
        f'<article class="rrm-card">{head}{verdicts(reward.verdicts)}{reasoning}'
        f'<p class="rrm-told">{escape(_provenance(reward))}</p></article>'
    )


def _score(reward: Reward) -> str:
    if reward.score is None:
        return f'<p class="rrm-score rrm-unscored">not scored: {escape(reward.outcome.value)}</p>'
    spread = f" ± {reward.score_std:.2g}" if reward.score_std is not None else ""
    return (
        f'<p class="rrm-score"><strong>{reward.score:.3g}</strong>{spread} of {SCORE_MAX:g}'
        f'<meter min="0" max="{SCORE_MAX:g}" value="{reward.score:g}" aria-label="score"></meter></p>'
    )


def _verdict(one: Verdict) -> str:
    probability = ""
    if one.probability is not None:
        probability = (
            f'<span class="rrm-probability"><meter min="0" max="1" value="{one.probability:g}" '
            f'aria-label="probability of yes"></meter> {one.probability:.0%} yes</span>'
        )
    why = f'<p class="rrm-why">{escape(one.rationale)}</p>' if one.rationale else ""
    return f"<li>{mark(one.passed)} {escape(one.principle.question)}{probability}{why}</li>"


def _provenance(reward: Reward) -> str:
    """How a score came about: reward, mode, aggregation, cache, tokens, time."""
    assert reward.reward is not None, "only of what was scored"
    assert reward.average is not None, "only of what was scored"
    pieces = [f"reward {reward.reward:.3g}", f"{reward.average:.0%} of principles met"]
    pieces += [one.value for one in (reward.mode, reward.aggregation) if one is not None]
    if reward.samples > 1:
        pieces.append(f"{reward.samples} samples")
    pieces.append(f"cache {reward.cache}")
    usage = reward.usage
    if usage.prompt_tokens:
        pieces.append(f"{usage.prompt_tokens:,} prompt tokens, {usage.cached_tokens:,} from the prefix cache")
    if usage.completion_tokens:
        pieces.append(f"{usage.completion_tokens:,} written")
    return " · ".join(pieces)
