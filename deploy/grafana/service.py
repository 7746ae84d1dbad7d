"""Dashboard *Service*: whether the objectives hold, how long callers wait, what is refused."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.panels import Query, board, judge_choice, number, series, variables
from deploy.grafana.queries import NOT_PROBES, PLAIN, SERVICE, parts, ratio


def service() -> Dashboard:
    """Build it."""
    quantiles = (0.5, 0.95, 0.99)
    return board(
        "Edit-RRM / Service",
        "edit-rrm-service",
        "Objectives, latency, queue and refusals of the reward service.",
        variables("edit_rrm_ready", judge_choice()),
        {
            "Now": [
                number(
                    "Replicas that take work",
                    "Replicas whose /readyz is 200; of those that load or are unfit the reason is on /readyz.",
                    "none",
                    Query(PLAIN.total("edit_rrm_ready"), "ready"),
                    bad_below=1,
                ),
                number(
                    "Edits scored",
                    "Share of judged edits that end in a score; every other one is masked by its trainer.",
                    "percentunit",
                    Query(SERVICE.share("edit_rrm_outcomes_total", 'outcome="scored"'), "scored"),
                    bad_below=0.95,
                    decimals=1,
                ),
                number(
                    "Edits a second",
                    "Edits that ended in any outcome.",
                    "suffix: edits/s",
                    Query(SERVICE.per_second("edit_rrm_outcomes_total"), "edits"),
                ),
                number(
                    "Time to answer, p95",
                    "Of requests, probes and scrapes aside; a group is one request.",
                    "s",
                    Query(SERVICE.quantile(0.95, "edit_rrm_http_request_duration_seconds", where=NOT_PROBES), "p95"),
                ),
                number(
                    "Requests under way",
                    "Requests that are not answered yet; a replica that stops waits for its own.",
                    "none",
                    Query(PLAIN.total("edit_rrm_http_requests_in_flight"), "under way"),
                ),
                number(
                    "Requests refused",
                    "Share of requests that are told to come back later.",
                    "percentunit",
                    Query(f"max ({PLAIN.now('edit_rrm:admission_rejected:ratio_rate5m')})", "refused"),
                    bad_above=0.1,
                    decimals=1,
                ),
            ],
            "Objectives": [
                series(
                    "Error budget burn",
                    "How many times faster than allowed the budget of a month is used up; 1 uses all of it. Alerts "
                    "are at 14.4 over an hour, 6 over six hours and 1 over three days.",
                    "none",
                    *(
                        Query(
                            f"max by (slo) ({PLAIN.now(f'edit_rrm:slo_errors:ratio_rate{window}')}) / 0.005",
                            f"{{{{slo}}}} over {window}",
                        )
                        for window in ("1h", "6h", "3d")
                    ),
                ),
                series(
                    "Outcomes",
                    "How judging ends. Everything but `scored` has no number and is the trainer's to mask.",
                    "suffix: edits/s",
                    Query(SERVICE.per_second("edit_rrm_outcomes_total", "outcome"), "{{outcome}}"),
                    stacked=True,
                ),
                series(
                    "Requests by status",
                    "By route; 499 is a client that hung up, 429 one that came too often, 502 the judge's own failure.",
                    "reqps",
                    Query(
                        SERVICE.per_second("edit_rrm_http_requests_total", "route, status", NOT_PROBES),
                        "{{route}} {{status}}",
                    ),
                    stacked=True,
                ),
            ],
            "Latency": [
                series(
                    "Time to answer",
                    "From a request's first byte to its last answer's.",
                    "s",
                    *(
                        Query(
                            SERVICE.quantile(q, "edit_rrm_http_request_duration_seconds", where=NOT_PROBES),
                            f"p{q * 100:.0f}",
                        )
                        for q in quantiles
                    ),
                ),
                series(
                    "Time to answer by route, p95",
                    "A group's time grows with its edits: compare a route with itself.",
                    "s",
                    Query(
                        SERVICE.quantile(0.95, "edit_rrm_http_request_duration_seconds", "route", NOT_PROBES),
                        "{{route}}",
                    ),
                ),
                series(
                    "Time by stage, p95",
                    "Decoding images, decomposing the instruction, verifying by think or probe; without waiting.",
                    "s",
                    Query(SERVICE.quantile(0.95, "edit_rrm_stage_duration_seconds", "stage"), "{{stage}}"),
                ),
            ],
            "Queue": [
                series(
                    "Wait for a turn, p95",
                    "By priority: interactive requests go before a trainer's.",
                    "s",
                    Query(SERVICE.quantile(0.95, "edit_rrm_queue_wait_seconds", "priority"), "{{priority}}"),
                ),
                series(
                    "Turns",
                    "At the engine, and waiting by priority. At its limit while any wait: the engine is what is short.",
                    "none",
                    Query(SERVICE.total("edit_rrm_turns_in_flight"), "at the engine"),
                    Query(SERVICE.total("edit_rrm_queue_depth", "priority"), "waiting, {{priority}}"),
                ),
                series(
                    "Work waiting per ready replica",
                    "Predicted tokens that are let in and not begun: what to scale on.",
                    "suffix: tokens",
                    Query(
                        ratio(SERVICE.total("edit_rrm_queue_work_tokens"), f"({PLAIN.total('edit_rrm_ready')} > 0)"),
                        "per replica",
                    ),
                ),
            ],
            "Refusals": [
                series(
                    "Refused by reason",
                    "Before anything was judged: the queue is full, the wait too long, the caller's limit reached, or "
                    "the replica stops.",
                    "reqps",
                    Query(SERVICE.per_second("edit_rrm_admission_rejected_total", "reason"), "{{reason}}"),
                    stacked=True,
                ),
                series(
                    "Retry-After",
                    "When those who were refused were told to come back.",
                    "s",
                    *(
                        Query(SERVICE.quantile(q, "edit_rrm_retry_after_seconds"), f"p{q * 100:.0f}")
                        for q in (0.5, 0.95)
                    ),
                ),
                series(
                    "Images refused by reason",
                    "Share of images that could not be judged: no image, cut off, or out of bounds.",
                    "percentunit",
                    Query(parts("edit_rrm_images_total", "result", 'result!="ok"', SERVICE), "{{result}}"),
                    stacked=True,
                ),
            ],
            "Caches and Redis": [
                series(
                    "Cache use",
                    "Share of look-ups that found something, or waited for another's, by cache and tier.",
                    "percentunit",
                    Query(
                        SERVICE.share("edit_rrm_cache_requests_total", 'result=~"hit|coalesced"', by="cache, tier"),
                        "{{cache}}, {{tier}}",
                    ),
                    width=6,
                    limits=(0.0, 1.0),
                ),
                series(
                    "Replicas with Redis",
                    "How many are to share one, and how many do now; the others remember for themselves alone.",
                    "none",
                    Query(PLAIN.total("edit_rrm_redis_configured"), "configured"),
                    Query(
                        f"sum ({PLAIN.now('edit_rrm_redis_up')} "
                        f"and on (namespace, job, instance) {PLAIN.now('edit_rrm_redis_configured')} == 1)",
                        "in use",
                    ),
                    width=6,
                ),
                series(
                    "Redis operations, p99",
                    "An operation is given up after half a second; the service then goes on without it.",
                    "s",
                    Query(SERVICE.quantile(0.99, "edit_rrm_redis_seconds", "op"), "{{op}}"),
                    width=6,
                ),
                series(
                    "Redis errors",
                    "Operations that failed or were given up; empty where no Redis is configured.",
                    "ops",
                    Query(SERVICE.per_second("edit_rrm_redis_errors_total", "op"), "{{op}}"),
                    width=6,
                ),
            ],
            "Processes": [
                series(
                    "Replicas by phase",
                    "Where each is in its life. `unfit` comes and goes; a `failed` or `dead` one has to be replaced.",
                    "none",
                    Query(PLAIN.total("edit_rrm_phase", "phase"), "{{phase}}"),
                    stacked=True,
                ),
                series(
                    "Memory",
                    "Resident, of the service's process; vLLM's engine is a process of its own and not in it.",
                    "bytes",
                    Query(SERVICE.total("process_resident_memory_bytes", "instance"), "{{instance}}"),
                ),
                series(
                    "Processor",
                    "Cores that the service's process keeps busy: decoding images above all.",
                    "suffix: cores",
                    Query(SERVICE.per_second("process_cpu_seconds_total", "instance"), "{{instance}}"),
                ),
            ],
        },
    )
