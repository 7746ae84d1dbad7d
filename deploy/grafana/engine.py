"""Dashboard *Engine*: vLLM, in the service's process or scraped from servers of its own, and what stands before it."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.panels import Query, board, choice, number, series, variables
from deploy.grafana.queries import PLAIN, VLLM, ratio


def engine() -> Dashboard:
    """Build it."""
    model = choice(
        "model",
        "Model",
        "As vLLM names it",
        'label_values(vllm:num_requests_running{namespace=~"$namespace"}, model_name)',
    )
    return board(
        "Edit-RRM / Engine",
        "edit-rrm-engine",
        "vLLM beneath the judge: what runs, what is reused, what is short.",
        variables("edit_rrm_ready", model),
        {
            "Now": [
                number(
                    "Requests running",
                    "Prompts that vLLM is computing; a probe is one a principle.",
                    "none",
                    Query(VLLM.total("vllm:num_requests_running"), "running"),
                ),
                number(
                    "Requests waiting",
                    "Prompts that vLLM has taken and not begun.",
                    "none",
                    Query(VLLM.total("vllm:num_requests_waiting"), "waiting"),
                ),
                number(
                    "KV cache in use",
                    "Of the fullest engine. Full while requests wait: memory is what is short.",
                    "percentunit",
                    Query(f"max ({VLLM.now('vllm:kv_cache_usage_perc')})", "in use"),
                    bad_above=0.95,
                    decimals=0,
                ),
                number(
                    "Prefix cache hits",
                    "Share of prompt tokens that were asked for and found.",
                    "percentunit",
                    Query(_hits("vllm:prefix_cache"), "hits"),
                    decimals=0,
                ),
                number(
                    "Prompt tokens a second",
                    "Including those that came from the prefix cache.",
                    "suffix: tokens/s",
                    Query(VLLM.per_second("vllm:prompt_tokens_total"), "prompt"),
                ),
                number(
                    "Generated tokens a second",
                    "Probes generate one each; the rest is thinking and decomposition.",
                    "suffix: tokens/s",
                    Query(VLLM.per_second("vllm:generation_tokens_total"), "generated"),
                ),
            ],
            "Load": [
                series(
                    "Requests at the engine",
                    "Running and waiting at vLLM, and turns that the service holds there.",
                    "none",
                    Query(VLLM.total("vllm:num_requests_running"), "running"),
                    Query(VLLM.total("vllm:num_requests_waiting_by_reason", "reason"), "waiting, {{reason}}"),
                    Query(PLAIN.total("edit_rrm_turns_in_flight"), "turns of the service"),
                ),
                series(
                    "Tokens",
                    "Prompt tokens by where they came from, and generated ones.",
                    "suffix: tokens/s",
                    Query(VLLM.per_second("vllm:prompt_tokens_by_source_total", "source"), "prompt, {{source}}"),
                    Query(VLLM.per_second("vllm:generation_tokens_total"), "generated"),
                    stacked=True,
                ),
                series(
                    "Tokens of a step",
                    "What one step of the scheduler computes: near its limit, the processor is busy.",
                    "suffix: tokens",
                    Query(VLLM.mean("vllm:iteration_tokens_total"), "mean"),
                    Query(VLLM.quantile(0.95, "vllm:iteration_tokens_total"), "p95"),
                ),
            ],
            "Memory and reuse": [
                series(
                    "KV cache in use",
                    "By engine. Full while requests wait: memory is what is short.",
                    "percentunit",
                    Query(f"max by (instance, engine) ({VLLM.now('vllm:kv_cache_usage_perc')})", "{{instance}}"),
                    limits=(0.0, 1.0),
                ),
                series(
                    "Prompt tokens from the prefix cache",
                    "As vLLM counts them, and as the service does; edits of a group share instruction and source.",
                    "percentunit",
                    Query(_hits("vllm:prefix_cache"), "vLLM"),
                    Query(
                        ratio(
                            PLAIN.per_second("edit_rrm_tokens_total", where='kind="cached"'),
                            PLAIN.per_second("edit_rrm_tokens_total", where='kind="prompt"'),
                        ),
                        "service",
                    ),
                    limits=(0.0, 1.0),
                ),
                series(
                    "Processed images from the cache",
                    "Share of images that vLLM had preprocessed before: a source comes once a group.",
                    "percentunit",
                    Query(_hits("vllm:mm_cache"), "hits"),
                    limits=(0.0, 1.0),
                ),
            ],
            "Time": [
                series(
                    "Time of a request",
                    "In vLLM, from arrival to the last token.",
                    "s",
                    *(
                        Query(VLLM.quantile(q, "vllm:e2e_request_latency_seconds"), f"p{q * 100:.0f}")
                        for q in (0.5, 0.95, 0.99)
                    ),
                ),
                series(
                    "Time by phase, p95",
                    "Waiting in vLLM, reading the prompt, writing the answer.",
                    "s",
                    *(
                        Query(VLLM.quantile(0.95, f"vllm:request_{phase}_time_seconds"), phase)
                        for phase in ("queue", "prefill", "decode")
                    ),
                ),
                series(
                    "Time to the first token",
                    "All there is of a probe.",
                    "s",
                    *(
                        Query(VLLM.quantile(q, "vllm:time_to_first_token_seconds"), f"p{q * 100:.0f}")
                        for q in (0.5, 0.95)
                    ),
                ),
            ],
            "Ends": [
                series(
                    "Requests by end",
                    "`length` is an answer that was cut off, `abort` a caller that went away or a deadline.",
                    "reqps",
                    Query(VLLM.per_second("vllm:request_success_total", "finished_reason"), "{{finished_reason}}"),
                    stacked=True,
                ),
                series(
                    "Preemptions",
                    "Requests that lost their blocks to others and are computed again.",
                    "suffix: /s",
                    Query(VLLM.per_second("vllm:num_preemptions_total"), "preemptions"),
                ),
                series(
                    "Refused by vLLM",
                    "By reason. The service's own queue is to keep this at 0.",
                    "reqps",
                    Query(VLLM.per_second("vllm:admission_rejections_total", "reason"), "{{reason}}"),
                ),
            ],
            "Remote servers (engine openai)": [
                series(
                    "Servers in use",
                    "1 while the service sends a server work, 0 while it is left alone after failures.",
                    "none",
                    Query(f"min by (backend) ({PLAIN.now('edit_rrm_backend_up')})", "{{backend}}"),
                    limits=(0.0, 1.0),
                ),
                series(
                    "Requests under way by server",
                    "A group's edits stay with one server, for its prefix cache.",
                    "none",
                    Query(PLAIN.total("edit_rrm_backend_in_flight", "backend"), "{{backend}}"),
                    stacked=True,
                ),
                series(
                    "Attempts by server and end",
                    "Attempts that fail are tried again at another server.",
                    "reqps",
                    Query(
                        PLAIN.per_second("edit_rrm_backend_requests_total", "backend, result"), "{{backend}} {{result}}"
                    ),
                ),
            ],
        },
    )


def _hits(cache: str) -> str:
    return ratio(VLLM.per_second(f"{cache}_hits_total"), VLLM.per_second(f"{cache}_queries_total"))
