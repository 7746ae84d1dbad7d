"""PromQL of the panels. Everything is limited to what the dashboard's variables choose."""

from __future__ import annotations

from dataclasses import dataclass

WINDOW = "$__rate_interval"
NOT_PROBES = 'route!~"/livez|/readyz|/startupz|/metrics|/health|other"'
"""Requests that somebody waits for; `other` are the documentation's pages and paths that do not exist."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which series a dashboard shows."""

    matchers: str = 'namespace=~"$namespace"'
    join: str = ""
    """Appended to a series to keep those of the chosen model only."""

    def series(self, metric: str, where: str = "") -> str:
        """One metric's series, without those of other namespaces."""
        return f"{metric}{{{', '.join(filter(None, (self.matchers, where)))}}}"

    def rate(self, metric: str, where: str = "") -> str:
        """Per second, of a counter."""
        return f"rate({self.series(metric, where)}[{WINDOW}]){self.join}"

    def now(self, metric: str, where: str = "") -> str:
        """A gauge's values."""
        return f"{self.series(metric, where)}{self.join}"

    def per_second(self, metric: str, by: str = "", where: str = "") -> str:
        """Per second, summed over replicas."""
        return f"sum{_by(by)} ({self.rate(metric, where)})"

    def total(self, metric: str, by: str = "", where: str = "") -> str:
        """A gauge, summed over replicas."""
        return f"sum{_by(by)} ({self.now(metric, where)})"

    def quantile(self, q: float, histogram: str, by: str = "", where: str = "") -> str:
        """Of a histogram, over replicas."""
        by = ", ".join(filter(None, (by, "le")))
        return f"histogram_quantile({q:g}, {self.per_second(f'{histogram}_bucket', by, where)})"

    def mean(self, histogram: str, by: str = "", where: str = "") -> str:
        """Of a histogram, over replicas."""
        return ratio(self.per_second(f"{histogram}_sum", by, where), self.per_second(f"{histogram}_count", by, where))

    def buckets(self, histogram: str, where: str = "") -> str:
        """Counts by bucket, for a heat map."""
        return f"sum by (le) (increase({self.series(f'{histogram}_bucket', where)}[{WINDOW}]){self.join})"

    def share(self, counter: str, of: str, among: str = "", by: str = "") -> str:
        """The part of a counter whose labels are `of`, among those that are `among`."""
        return ratio(self.per_second(counter, by, of), self.per_second(counter, by, among))


def parts(counter: str, label: str, of: str, scope: Scope) -> str:
    """The part of a whole counter that each value of a label has, among those that are `of`."""
    return f"{scope.per_second(counter, label, of)}\n/ on () group_left ()\n{scope.per_second(counter)}"


def ratio(part: str, whole: str) -> str:
    """One over another."""
    return f"{part}\n/\n{whole}"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


SERVICE = Scope(
    join=' * on (namespace, job, instance) group_left () edit_rrm_judge_info{namespace=~"$namespace", model=~"$model"}'
)
"""The service's own series carry no model: the judge's is joined to them by replica."""
CALLER = Scope(matchers='namespace=~"$namespace", caller=~"$caller"', join=SERVICE.join)
"""Of the service's own, those that tell callers apart."""
PLAIN = Scope()
"""Series that exist before a judge has been loaded, and recorded ones, which are kept by namespace."""
VLLM = Scope(matchers='namespace=~"$namespace", model_name=~"$model"')
