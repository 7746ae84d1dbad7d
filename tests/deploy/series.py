"""Series that the service exposes, with their labels: its own from its registry, vLLM's from vLLM's source."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

import yaml
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from edit_rrm_service.metrics import Metrics

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules"
SCRAPED = frozenset({"namespace", "job", "instance"})
"""Labels that a scrape adds to every series."""
NAME = re.compile(r'(?<![\w"/-])(?:edit_rrm[\w:]*|vllm:\w+|process_\w+|python_\w+)')
SELECTOR = re.compile(rf"({NAME.pattern})\{{([^}}]*)\}}")
LABEL = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


def _series(kind: str, name: str, labels: frozenset[str]) -> dict[str, frozenset[str]]:
    more = frozenset({"le"}) if kind == "histogram" else frozenset()
    return {name + suffix: labels | (more if suffix == "_bucket" else frozenset()) for suffix in _SUFFIXES[kind]}


@functools.cache
def own() -> dict[str, frozenset[str]]:
    """The service's series by name."""
    metrics = Metrics()
    metrics.watch_backends(list)
    found: dict[str, frozenset[str]] = {}
    for family in metrics.registry.collect():
        labels = _label_names(metrics.registry, family.name)
        found |= _series(family.type, family.name, labels)
    for family in REGISTRY.collect():
        if family.name.startswith(("process_", "python_")):
            found |= _series(family.type, family.name, frozenset(family.samples[0].labels if family.samples else ()))
    return found


def _label_names(registry: CollectorRegistry, name: str) -> frozenset[str]:
    for collector in registry._collector_to_names:
        if isinstance(collector, MetricWrapperBase) and name in registry._collector_to_names[collector]:
            return frozenset(collector._labelnames)
    return frozenset({"backend", "result"} if name == "edit_rrm_backend_requests" else {"backend"})


class Family(NamedTuple):
    """One metric of vLLM's."""

    kind: str
    name: str
    labels: frozenset[str]


@functools.cache
def vllm_families() -> tuple[Family, ...] | None:
    """vLLM's metrics, read from its source without importing it; None where it is not installed."""
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None:
        return None
    tree = ast.parse((Path(spec.origin).parent / "v1" / "metrics" / "loggers.py").read_text(encoding="utf-8"))
    found = []
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        name, kind = given.get("name"), ast.unparse(call.func).removeprefix("self._").removesuffix("_cls")
        if kind in _SUFFIXES and isinstance(name, ast.Constant) and "labelnames" in given:
            nodes = list(ast.walk(given["labelnames"]))
            labels = {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
            if any(isinstance(node, ast.Name) and node.id == "labelnames" for node in nodes):
                labels |= {"model_name", "engine"}
            found.append(Family(kind, str(name.value), frozenset(labels)))
    return tuple(found)


@functools.cache
def vllm() -> dict[str, frozenset[str]] | None:
    """vLLM's series by name; None where it is not installed."""
    families = vllm_families()
    if families is None:
        return None
    found: dict[str, frozenset[str]] = {}
    for family in families:
        found |= _series(family.kind, family.name, family.labels)
    return found


@functools.cache
def recorded() -> dict[str, str]:
    """Expressions by the name that a rule records them under; the baseline's is empty until it is pinned."""
    rules = [rule for path in sorted(RULES.glob("*.yaml")) for rule in groups_rules(path)]
    return {"edit_rrm:sentinel_score:baseline": ""} | {
        rule["record"]: rule["expr"] for rule in rules if "record" in rule
    }


def groups_rules(path: Path) -> list[dict[str, str]]:
    """All rules of a file."""
    return [rule for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def unknown(expression: str) -> list[str]:
    """What an expression asks for and nobody exposes: names of series, and labels they do not have."""
    known = own() | (vllm() or {})
    problems = []
    for name in NAME.findall(expression):
        if name.startswith("vllm:") and vllm() is None:
            continue
        if name not in known and name not in recorded():
            problems.append(name)
    for name, matchers in SELECTOR.findall(expression):
        if name in known:
            problems += [
                f"{name}{{{label}}}" for label in LABEL.findall(matchers) if label not in known[name] | SCRAPED
            ]
    return problems
