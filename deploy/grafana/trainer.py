"""Dashboard *Trainer run*: what a trainer gets back, by the API key that it comes with."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.panels import Query, board, choice, heat, judge_choice, number, series, variables
from deploy.grafana.queries import CALLER, SERVICE, parts, ratio

_TRAINING = 'priority="training"'
_SCORED = 'outcome="scored"'
_UNSCORED = 'outcome!="scored"'


def trainer() -> Dashboard:
    """Build it."""
    caller = choice(
        "caller",
        "Caller",
        "Whose API key: a run has its own where it is given one of its own",
        'label_values(edit_rrm_caller_outcomes_total{namespace=~"$namespace"}, caller)',
    )
    return board(
        "Edit-RRM / Trainer run",
        "edit-rrm-trainer",
        "Rewards, group spread, masks and waits as the trainers see them. Give each run an API key of its own.",
        variables("edit_rrm_judge_info", judge_choice(), caller),
        {
            "Now": [
                number(
                    "Mean reward",
                    "Of edits that were scored, 0 to 1.",
                    "none",
                    Query(CALLER.mean("edit_rrm_caller_reward"), "mean"),
                    decimals=3,
                ),
                number(
                    "Failure mask rate",
                    "Share of edits without a score, which the trainer masks.",
                    "percentunit",
                    Query("1 - " + CALLER.share("edit_rrm_caller_outcomes_total", _SCORED), "masked"),
                    bad_above=0.05,
                    decimals=1,
                ),
                number(
                    "Edits a second",
                    "Edits that were scored.",
                    "suffix: edits/s",
                    Query(CALLER.per_second("edit_rrm_caller_outcomes_total", where=_SCORED), "scored"),
                ),
                number(
                    "Spread of a group",
                    "Median standard deviation of the scores of a group, in marks of 0 to 10. The alert is at 0.1.",
                    "none",
                    Query(CALLER.quantile(0.5, "edit_rrm_group_score_std"), "median"),
                    bad_below=0.1,
                    decimals=2,
                ),
                number(
                    "Dead groups",
                    "Share of groups that can teach nothing: scored alike, or fewer than two edits scored.",
                    "percentunit",
                    Query(
                        ratio(
                            CALLER.per_second("edit_rrm_dead_groups_total"), CALLER.per_second("edit_rrm_groups_total")
                        ),
                        "dead",
                    ),
                    bad_above=0.5,
                    decimals=1,
                ),
                number(
                    "Wait for a turn, p95",
                    "Of work with priority training, whoever's it is.",
                    "s",
                    Query(SERVICE.quantile(0.95, "edit_rrm_queue_wait_seconds", where=_TRAINING), "p95"),
                ),
            ],
            "Rewards": [
                series(
                    "Reward by caller",
                    "Mean of edits that were scored, 0 to 1. It is to rise as the editor learns.",
                    "none",
                    Query(CALLER.mean("edit_rrm_caller_reward", "caller"), "{{caller}}"),
                    limits=(0.0, 1.0),
                ),
                heat(
                    "Rewards of edits",
                    "0 to 1. A step's groups arrive at once: columns between steps are empty.",
                    "none",
                    Query(CALLER.buckets("edit_rrm_caller_reward"), "{{le}}"),
                ),
                series(
                    "Principles passed by category",
                    "What the editor learns, and what it pays with: features no longer preserved show here first. Of "
                    "all callers.",
                    "percentunit",
                    Query(SERVICE.share("edit_rrm_verdicts_total", 'passed="true"', by="category"), "{{category}}"),
                    limits=(0.0, 1.0),
                ),
            ],
            "Groups": [
                series(
                    "Spread of a group by caller",
                    "Median standard deviation of the scores of a group, in marks: what its advantages are made of.",
                    "none",
                    Query(CALLER.quantile(0.5, "edit_rrm_group_score_std", "caller"), "{{caller}}"),
                ),
                heat(
                    "Spread of groups",
                    "Standard deviations in marks. The lowest bucket's groups are scored alike and teach nothing.",
                    "none",
                    Query(CALLER.buckets("edit_rrm_group_score_std"), "{{le}}"),
                ),
                series(
                    "Dead groups by caller and reason",
                    "Share of groups of two edits or more that can teach nothing: no edit scored, one, or all alike.",
                    "percentunit",
                    Query(
                        f"{CALLER.per_second('edit_rrm_dead_groups_total', 'caller, reason')}\n"
                        f"/ on (caller) group_left ()\n{CALLER.per_second('edit_rrm_groups_total', 'caller')}",
                        "{{caller}}, {{reason}}",
                    ),
                ),
            ],
            "Masks": [
                series(
                    "Failure mask rate by caller",
                    "Share of edits without a score, which the trainer masks.",
                    "percentunit",
                    Query("1 - " + CALLER.share("edit_rrm_caller_outcomes_total", _SCORED, by="caller"), "{{caller}}"),
                ),
                series(
                    "Failure mask rate by outcome",
                    "Share of edits without a score, by why.",
                    "percentunit",
                    Query(parts("edit_rrm_caller_outcomes_total", "outcome", _UNSCORED, CALLER), "{{outcome}}"),
                    stacked=True,
                ),
                series(
                    "Images refused by reason",
                    "Share of images that could not be judged: `damaged` is an editor that writes what is no picture. "
                    "Of all callers.",
                    "percentunit",
                    Query(parts("edit_rrm_images_total", "result", 'result!="ok"', SERVICE), "{{result}}"),
                    stacked=True,
                ),
            ],
            "Throughput": [
                series(
                    "Edits of a request",
                    "Median and 95th percentile of requests that were let in, of all callers.",
                    "none",
                    *(Query(SERVICE.quantile(q, "edit_rrm_group_size"), f"p{q * 100:.0f}") for q in (0.5, 0.95)),
                ),
                series(
                    "Edits by caller",
                    "In any outcome. Bursts are steps of the trainer; the pause between them is its own work.",
                    "suffix: edits/s",
                    Query(CALLER.per_second("edit_rrm_caller_outcomes_total", "caller"), "{{caller}}"),
                    stacked=True,
                ),
                series(
                    "Wait for a turn",
                    "Of work with priority training, whoever's it is.",
                    "s",
                    *(
                        Query(SERVICE.quantile(q, "edit_rrm_queue_wait_seconds", where=_TRAINING), f"p{q * 100:.0f}")
                        for q in (0.5, 0.95)
                    ),
                ),
            ],
        },
    )
