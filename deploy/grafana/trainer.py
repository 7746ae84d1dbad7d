"""Dashboard *Trainer run*: what a trainer gets back. Of all callers: the service's series do not tell them apart."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.panels import Query, board, heat, judge_choice, number, series, variables
from deploy.grafana.queries import PLAIN, SERVICE, ratio

_TRAINING = 'priority="training"'
_UNSCORED = 'outcome!="scored"'


def trainer() -> Dashboard:
    """Build it."""
    masked = "1 - " + SERVICE.share("edit_rrm_outcomes_total", 'outcome="scored"')
    reward = ratio(SERVICE.mean("edit_rrm_score"), "10")
    return board(
        "Edit-RRM / Trainer run",
        "edit-rrm-trainer",
        "Rewards, masks and waits as the trainers see them. All callers together: one run at a time reads best.",
        variables("edit_rrm_judge_info", judge_choice()),
        {
            "Now": [
                number("Mean reward", "Of edits that were scored, 0 to 1.", "none", Query(reward, "mean"), decimals=3),
                number(
                    "Failure mask rate",
                    "Share of edits without a score, which the trainer masks.",
                    "percentunit",
                    Query(masked, "masked"),
                    bad_above=0.05,
                    decimals=1,
                ),
                number(
                    "Edits a second",
                    "Edits that were scored.",
                    "suffix: edits/s",
                    Query(SERVICE.per_second("edit_rrm_outcomes_total", where='outcome="scored"'), "scored"),
                ),
                number(
                    "Edits of a request",
                    "Mean of requests that were let in: a trainer's group.",
                    "none",
                    Query(SERVICE.mean("edit_rrm_group_size"), "mean"),
                    decimals=1,
                ),
                number(
                    "Wait for a turn, p95",
                    "Of work with priority training.",
                    "s",
                    Query(SERVICE.quantile(0.95, "edit_rrm_queue_wait_seconds", where=_TRAINING), "p95"),
                ),
                number(
                    "Prompt tokens reused",
                    "Share that came from the engine's prefix cache.",
                    "percentunit",
                    Query(
                        ratio(
                            SERVICE.per_second("edit_rrm_tokens_total", where='kind="cached"'),
                            SERVICE.per_second("edit_rrm_tokens_total", where='kind="prompt"'),
                        ),
                        "reused",
                    ),
                    decimals=0,
                ),
            ],
            "Rewards": [
                series(
                    "Reward by mode",
                    "Mean, 10th and 90th percentile of edits that were scored. It is to rise as the editor learns.",
                    "none",
                    Query(ratio(SERVICE.mean("edit_rrm_score", "mode"), "10"), "{{mode}} mean"),
                    Query(ratio(SERVICE.quantile(0.1, "edit_rrm_score", "mode"), "10"), "{{mode}} p10"),
                    Query(ratio(SERVICE.quantile(0.9, "edit_rrm_score", "mode"), "10"), "{{mode}} p90"),
                    limits=(0.0, 1.0),
                ),
                heat(
                    "Scores of edits",
                    "0 to 10. A step's groups arrive at once: columns between steps are empty.",
                    "none",
                    Query(SERVICE.buckets("edit_rrm_score"), "{{le}}"),
                ),
                series(
                    "Principles passed by category",
                    "What the editor learns, and what it pays with: features no longer preserved show here first.",
                    "percentunit",
                    Query(SERVICE.share("edit_rrm_verdicts_total", 'passed="true"', by="category"), "{{category}}"),
                    limits=(0.0, 1.0),
                ),
            ],
            "Masks": [
                series(
                    "Failure mask rate by outcome",
                    "Share of edits without a score, by why.",
                    "percentunit",
                    Query(
                        f"{SERVICE.per_second('edit_rrm_outcomes_total', 'outcome', _UNSCORED)}\n"
                        f"/ on () group_left ()\n{SERVICE.per_second('edit_rrm_outcomes_total')}",
                        "{{outcome}}",
                    ),
                    stacked=True,
                ),
                series(
                    "Spread over all edits",
                    "Marks between the 10th and the 90th percentile of half an hour: an upper bound of what a group's "
                    "advantages can be made of.",
                    "none",
                    Query(f"min by (mode) ({PLAIN.now('edit_rrm:score:spread30m')})", "{{mode}}"),
                ),
                series(
                    "Images refused",
                    "Share of images that could not be decoded: an editor that writes what is no picture.",
                    "percentunit",
                    Query(SERVICE.share("edit_rrm_images_total", 'result="refused"'), "refused"),
                ),
            ],
            "Throughput": [
                series(
                    "Edits of a request",
                    "Median and 95th percentile of requests that were let in.",
                    "none",
                    *(Query(SERVICE.quantile(q, "edit_rrm_group_size"), f"p{q * 100:.0f}") for q in (0.5, 0.95)),
                ),
                series(
                    "Edits by outcome",
                    "Bursts are steps of the trainer; the pause between them is its own work.",
                    "suffix: edits/s",
                    Query(SERVICE.per_second("edit_rrm_outcomes_total", "outcome"), "{{outcome}}"),
                    stacked=True,
                ),
                series(
                    "Wait for a turn",
                    "Of work with priority training.",
                    "s",
                    *(
                        Query(SERVICE.quantile(q, "edit_rrm_queue_wait_seconds", where=_TRAINING), f"p{q * 100:.0f}")
                        for q in (0.5, 0.95)
                    ),
                ),
            ],
        },
    )
