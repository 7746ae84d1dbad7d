"""Dashboard *Judge*: whether what it says can still be trusted."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.panels import Query, board, heat, judge_choice, number, series, variables
from deploy.grafana.queries import PLAIN, SERVICE, parts, ratio

_BELOW = ratio(SERVICE.per_second("edit_rrm_probes_below_floor_total"), SERVICE.per_second("edit_rrm_label_mass_count"))
_READ = 'outcome=~"scored|unparsable|truncated|low_label_mass"'


def judge() -> Dashboard:
    """Build it."""
    return board(
        "Edit-RRM / Judge",
        "edit-rrm-judge",
        "Scores, verdicts, label mass and sentinels: the judge's own health.",
        variables("edit_rrm_judge_info", judge_choice()),
        {
            "Now": [
                number(
                    "Sentinels in order",
                    "The worst replica's last round of known edits: 1 in order, 0 broken, or no round yet; no data "
                    "where sentinels are off.",
                    "none",
                    Query(
                        f"min ({SERVICE.now('edit_rrm_sentinels_ok')} "
                        f"and on (namespace, job, instance) {PLAIN.now('edit_rrm_sentinels_enabled')} == 1)",
                        "in order",
                    ),
                    bad_below=1,
                ),
                number(
                    "Identities",
                    "Different judges that answer. Two behind one address score one group differently.",
                    "none",
                    Query(f"count (count by (identity) ({PLAIN.now('edit_rrm_judge_info')}))", "identities"),
                    bad_above=2,
                ),
                number(
                    "Mean score",
                    "Of edits that were scored, 0 to 10.",
                    "none",
                    Query(SERVICE.mean("edit_rrm_score"), "mean"),
                    decimals=2,
                ),
                number(
                    "Score spread",
                    "Marks between the 10th and the 90th percentile of half an hour, in the narrower mode; 0.8 is one "
                    "bucket: all edits score alike.",
                    "none",
                    Query(f"min ({PLAIN.now('edit_rrm:score:spread30m')})", "spread"),
                    bad_below=0.9,
                    decimals=2,
                ),
                number(
                    "Unreadable answers",
                    "Share of judgements that are unparsable or cut off; below 1% is a judge's nature.",
                    "percentunit",
                    Query(
                        SERVICE.share("edit_rrm_outcomes_total", 'outcome=~"unparsable|truncated"', _READ), "unreadable"
                    ),
                    bad_above=0.03,
                    decimals=2,
                ),
                number(
                    "Probes under the floor",
                    "Share of probes that answered neither yes nor no; each costs its edit.",
                    "percentunit",
                    Query(_BELOW, "under the floor"),
                    bad_above=0.01,
                    decimals=2,
                ),
            ],
            "Scores": [
                heat(
                    "Scores",
                    "How scores are spread, 0 to 10. A single bright line: a judge, or an editor, has collapsed.",
                    "none",
                    Query(SERVICE.buckets("edit_rrm_score"), "{{le}}"),
                ),
                series(
                    "Score by mode",
                    "Mean, and the 10th and 90th percentile; buckets are a mark wide.",
                    "none",
                    Query(SERVICE.mean("edit_rrm_score", "mode"), "{{mode}} mean"),
                    Query(SERVICE.quantile(0.1, "edit_rrm_score", "mode"), "{{mode}} p10"),
                    Query(SERVICE.quantile(0.9, "edit_rrm_score", "mode"), "{{mode}} p90"),
                    limits=(0.0, 10.0),
                ),
                series(
                    "Score spread",
                    "Marks between the 10th and the 90th percentile of half an hour; the alert is at 0.9.",
                    "none",
                    Query(f"min by (mode) ({PLAIN.now('edit_rrm:score:spread30m')})", "{{mode}}"),
                ),
            ],
            "Outcomes": [
                series(
                    "Outcomes of what was judged",
                    "Share of each way in which judging ends.",
                    "percentunit",
                    Query(parts("edit_rrm_outcomes_total", "outcome", "", SERVICE), "{{outcome}}"),
                    stacked=True,
                    limits=(0.0, 1.0),
                ),
                series(
                    "Parse failures",
                    "Which rule of the grammar answers broke, by task; empty as long as there has been none.",
                    "suffix: answers/s",
                    Query(SERVICE.per_second("edit_rrm_parse_failures_total", "task, kind"), "{{task}}: {{kind}}"),
                    stacked=True,
                ),
                series(
                    "Principles of an edit",
                    "How many questions an instruction is decomposed into.",
                    "none",
                    Query(SERVICE.mean("edit_rrm_principles"), "mean"),
                    Query(SERVICE.quantile(0.95, "edit_rrm_principles"), "p95"),
                ),
            ],
            "Principles": [
                series(
                    "Principles passed by category",
                    "Share of verdicts that are yes. A category that always passes judges nothing.",
                    "percentunit",
                    Query(SERVICE.share("edit_rrm_verdicts_total", 'passed="true"', by="category"), "{{category}}"),
                    width=12,
                    limits=(0.0, 1.0),
                ),
                series(
                    "Verdicts by category",
                    "What is asked: a category that is missing is never decomposed into.",
                    "suffix: verdicts/s",
                    Query(SERVICE.per_second("edit_rrm_verdicts_total", "category"), "{{category}}"),
                    width=12,
                    stacked=True,
                ),
            ],
            "Label mass": [
                series(
                    "Label mass of probes",
                    "Probability on the labels of the judge's card, of every probe that the engine read.",
                    "percentunit",
                    *(Query(SERVICE.quantile(q, "edit_rrm_label_mass"), f"p{q * 100:.0f}") for q in (0.01, 0.1, 0.5)),
                    limits=(0.0, 1.0),
                ),
                series(
                    "Label mass under the floor",
                    "Share of probes with less label mass than the judge's card asks for. The alert is at 1%.",
                    "percentunit",
                    Query(_BELOW, "under the floor"),
                ),
                series(
                    "Edits under the floor",
                    "Share of edits that have no score because a probe of theirs answered neither yes nor no.",
                    "percentunit",
                    Query(
                        SERVICE.share("edit_rrm_outcomes_total", 'outcome="low_label_mass"', _READ), "low_label_mass"
                    ),
                ),
            ],
            "Sentinels": [
                series(
                    "Replicas with sentinels",
                    "All replicas, and those that judge known edits: where they are off nobody sees a judge go wrong.",
                    "none",
                    Query(f"count ({PLAIN.now('edit_rrm_sentinels_enabled')})", "all"),
                    Query(PLAIN.total("edit_rrm_sentinels_enabled"), "with sentinels"),
                    width=6,
                ),
                series(
                    "Sentinels' scores",
                    "Known edits, the lowest of all replicas: `good` has to be above every other one.",
                    "none",
                    Query(
                        f"min by (sentinel, mode) ({SERVICE.now('edit_rrm_sentinel_score')})", "{{sentinel}}, {{mode}}"
                    ),
                    width=6,
                    limits=(0.0, 10.0),
                ),
                series(
                    "Rounds of sentinels",
                    "By what they said, per hour; `inconclusive` says something about the moment, not about the judge.",
                    "suffix: rounds/h",
                    Query(f"3600 * {SERVICE.per_second('edit_rrm_sentinel_rounds_total', 'verdict')}", "{{verdict}}"),
                    width=6,
                ),
                series(
                    "Drift from the pinned baseline",
                    "Marks that a known edit lies off its pinned score, the worst replica's; empty until a baseline is "
                    "pinned (docs/runbook.md). The alert is at 1.",
                    "none",
                    Query(
                        f"max by (sentinel, mode) ({PLAIN.now('edit_rrm:sentinel_score:drift')})",
                        "{{sentinel}}, {{mode}}",
                    ),
                    width=6,
                ),
            ],
            "Identity": [
                series(
                    "Replicas by identity",
                    "What exactly is judging: weights, prompts, preprocessing and sampling, as one hash.",
                    "none",
                    Query(
                        f"count by (model, engine, identity) ({PLAIN.series('edit_rrm_judge_info')})",
                        "{{model}}, {{engine}}, {{identity}}",
                    ),
                    width=24,
                )
            ],
        },
    )
