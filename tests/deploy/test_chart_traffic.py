"""The Helm chart: who reaches whom, how many replicas there are, what rolls them, and what watches them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import yaml

from tests.deploy.chart import CHART, FETCH, HELM, ROOT, environment, find, helm, kinds, pod, render, rendered, server

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.skipif(HELM is None, reason=f"Helm is neither in build/tools nor in the PATH; {FETCH}"),
]

KEYED: dict[str, Any] = {"auth": {"existingSecret": "keys"}}
NAMESPACE = "kubernetes.io/metadata.name"


def ports(rules: list[dict[str, Any]]) -> list[list[object]]:
    return [[port["port"] for port in rule["ports"]] for rule in rules]


def test_only_labelled_pods_and_prometheus_get_in() -> None:
    manifests = rendered("minimal")
    policy = find(manifests, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    api, probes = policy["ingress"]
    assert api["ports"] == [{"port": "http", "protocol": "TCP"}]
    assert api["from"] == [{"podSelector": {"matchLabels": {"judge-edit-rrm-client": "true"}}}]
    assert probes["ports"] == [{"port": "probes", "protocol": "TCP"}]
    assert probes["from"] == [{"namespaceSelector": {"matchLabels": {NAMESPACE: "monitoring"}}}]
    assert ports(policy["egress"]) == [[53, 53]]
    labels = find(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    test = find(manifests, "Pod", "judge-edit-rrm-test")
    assert test["metadata"]["labels"]["judge-edit-rrm-client"] == "true"
    assert not policy["podSelector"]["matchLabels"].items() <= test["metadata"]["labels"].items()


def test_a_gateway_gets_out_to_its_servers_alone() -> None:
    policy = find(rendered("gateway"), "NetworkPolicy")["spec"]
    assert ports(policy["egress"]) == [[53, 53], [443, 8000]]
    upstream = find(rendered("ray-gateway"), "NetworkPolicy")["spec"]["egress"][1]
    assert upstream["to"] == [{"podSelector": {"matchLabels": {"ray.io/node-type": "head"}}}]


def test_what_else_is_needed_opens_the_way_out() -> None:
    policy = find(rendered("full"), "NetworkPolicy")["spec"]
    assert ports(policy["egress"]) == [[53, 53], [6379], [8000], [4318], [443], [3128]]
    sources = policy["ingress"][0]["from"]
    assert {"namespaceSelector": {"matchLabels": {NAMESPACE: "ingress-nginx"}}} in sources
    assert {"namespaceSelector": {"matchLabels": {"team": "trainers"}}} in sources
    assert ports(find(rendered("external-redis"), "NetworkPolicy")["spec"]["egress"]) == [[53, 53], [6380]]


def test_anybody_gets_in_where_that_is_wished() -> None:
    policy = find(rendered("no-monitoring"), "NetworkPolicy")["spec"]
    assert policy["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]
    assert "NetworkPolicy" not in kinds(render(KEYED | {"networkPolicy": {"enabled": False}}))


def test_what_leads_in_from_outside() -> None:
    manifests = rendered("full")
    [rule] = find(manifests, "Ingress")["spec"]["rules"]
    assert rule["host"] == "judge.example.com"
    assert rule["http"]["paths"][0]["backend"]["service"] == {"name": "judge-edit-rrm", "port": {"name": "http"}}
    [route] = find(manifests, "HTTPRoute")["spec"]["rules"]
    assert route["timeouts"] == {"request": "600s"}
    assert route["backendRefs"] == [{"name": "judge-edit-rrm", "port": 8000}]


def test_evictions_take_one_pod_at_a_time() -> None:
    assert find(rendered("minimal"), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


# Replicas


def test_keda_scales_on_waiting_work_and_keeps_what_is_there_where_it_sees_nothing() -> None:
    manifests = rendered("keda")
    scaled = find(manifests, "ScaledObject")["spec"]
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (2, 12)
    assert scaled["fallback"] == {"failureThreshold": 4, "replicas": 2, "behavior": "currentReplicasIfHigher"}
    waiting, turns = scaled["triggers"]
    series = '{namespace="judging",pod=~"judge-edit-rrm-[a-z0-9]+-[a-z0-9]+"}'
    assert waiting["metadata"]["query"] == f"sum(edit_rrm_queue_work_tokens{series})"
    assert turns["metadata"]["query"] == f"sum(edit_rrm_turns_in_flight{series})"
    assert [each["metadata"]["threshold"] for each in (waiting, turns)] == ["200000", "48"]
    for trigger in (waiting, turns):
        assert trigger["metricType"] == "AverageValue"
        assert trigger["metadata"]["ignoreNullValues"] == "false"
        assert trigger["authenticationRef"] == {"name": "prometheus"}
    down = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] == 1800
    assert "replicas" not in find(manifests, "Deployment")["spec"]


def test_a_gateway_scales_by_its_cpu() -> None:
    manifests = rendered("gateway")
    hpa = find(manifests, "HorizontalPodAutoscaler")["spec"]
    assert hpa["scaleTargetRef"]["name"] == find(manifests, "Deployment")["metadata"]["name"]
    assert hpa["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}
    assert hpa["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300
    assert "cpu" in server(manifests)["resources"]["requests"]
    assert "replicas" not in find(manifests, "Deployment")["spec"]


def pod_annotations(values: dict[str, Any]) -> dict[str, str]:
    metadata = find(render(values), "Deployment")["spec"]["template"]["metadata"]
    found: dict[str, str] = metadata["annotations"]
    return found


def test_pods_are_rolled_by_what_they_read_at_the_start() -> None:
    keys = {"auth": {"keys": {"a": {"sha256": "0" * 64}}}}
    before = pod_annotations(keys)
    assert pod_annotations(keys | {"replicas": 3, "service": {"port": 80}}) == before
    settings = pod_annotations(keys | {"settings": {"maxEdits": 64}})
    assert settings["checksum/settings"] != before["checksum/settings"]
    rotated = pod_annotations({"auth": {"keys": {"a": {"sha256": "1" * 64}}}})
    assert rotated["checksum/keys"] != before["checksum/keys"]


def test_a_new_chart_alone_rolls_no_pod() -> None:
    for name in ("judge-edit-rrm", "judge-edit-rrm-redis"):
        labels = find(rendered("full"), "Deployment", name)["spec"]["template"]["metadata"]["labels"]
        assert "helm.sh/chart" not in labels


# Redis and upstream


def test_the_small_redis() -> None:
    manifests = rendered("cpu")
    password = base64.b64decode(find(manifests, "Secret", "judge-edit-rrm-redis")["data"]["redis-password"]).decode()
    assert len(password) == 32
    assert password.isalnum()
    assert environment(manifests)["EDIT_RRM_REDIS_URL"] == "redis://:$(REDIS_PASSWORD)@judge-edit-rrm-redis:6379/0"
    names = [each["name"] for each in server(manifests)["env"]]
    # The kubelet expands only what stands before.
    assert names.index("REDIS_PASSWORD") < names.index("EDIT_RRM_REDIS_URL")
    policy = find(manifests, "NetworkPolicy", "judge-edit-rrm-redis")["spec"]
    assert policy["egress"] == []
    assert policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "server"
    [container] = find(manifests, "Deployment", "judge-edit-rrm-redis")["spec"]["template"]["spec"]["containers"]
    assert "512mb" in container["args"]


def test_an_external_redis() -> None:
    [url] = [each for each in server(rendered("external-redis"))["env"] if each["name"] == "EDIT_RRM_REDIS_URL"]
    assert url["valueFrom"] == {"secretKeyRef": {"name": "edit-rrm-redis", "key": "redis-url"}}
    assert environment(rendered("keda"))["EDIT_RRM_REDIS_URL"] == "redis://redis.caches:6379/0"


def test_a_gateway_has_the_key_of_its_servers_and_no_weights() -> None:
    manifests = rendered("gateway")
    variables = environment(manifests)
    assert variables["EDIT_RRM_BASE_URLS"] == "http://judge-0.vllm:8000/v1,https://judge.example.com/v1"
    assert variables["EDIT_RRM_MODEL"] == "Qwen/Qwen2.5-VL-72B-Instruct"
    [key] = [each for each in server(manifests)["env"] if each["name"] == "EDIT_RRM_UPSTREAM_API_KEY"]
    assert key["valueFrom"] == {"secretKeyRef": {"name": "vllm-key", "key": "api-key"}}
    assert "models" not in {each["name"] for each in pod(manifests)["volumes"]}


# What watches it


def test_monitors_select_what_they_scrape() -> None:
    monitor = find(rendered("minimal"), "PodMonitor")["spec"]
    labels = find(rendered("minimal"), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    [endpoint] = monitor["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("probes", "/metrics")
    service = find(rendered("cpu"), "Service", "judge-edit-rrm-metrics")
    selected = find(rendered("cpu"), "ServiceMonitor")["spec"]
    assert selected["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert selected["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"] == "probes"
    assert find(rendered("full"), "PodMonitor")["metadata"]["labels"]["release"] == "kube-prometheus-stack"


def test_rules_are_those_of_the_repository_and_ones_own() -> None:
    groups: list[Any] = []
    for path in sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yaml")):
        groups += yaml.safe_load(path.read_text())["groups"]
    own = {"name": "baseline", "rules": [{"record": "edit_rrm:baseline", "expr": "vector(1)"}]}
    manifests = render(KEYED | {"monitoring": {"prometheusRule": {"groups": [own]}}})
    assert find(manifests, "PrometheusRule")["spec"]["groups"] == [own, *groups]


def test_alerts_link_to_where_the_runbook_is_read() -> None:
    url = "https://wiki.example/edit-rrm/runbook"
    manifests = render(KEYED | {"monitoring": {"prometheusRule": {"runbook": url}}})
    groups = find(manifests, "PrometheusRule")["spec"]["groups"]
    links = [rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"] if "alert" in rule]
    assert links
    assert all(link.startswith(f"{url}#editrrm") for link in links)
    refused = helm(
        "template", "judge", str(CHART), values={"monitoring": {"prometheusRule": {"runbook": "wiki#runbook"}}}
    )
    assert refused.returncode != 0
    assert "runbook" in refused.stderr


def test_dashboards_are_found_by_the_sidecar() -> None:
    found = [each for each in rendered("minimal") if "-dashboard-" in each["metadata"]["name"]]
    assert len(found) == len(list((CHART / "files" / "dashboards").glob("*.json")))
    for each in found:
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        [(name, text)] = each["data"].items()
        assert json.loads(text) == json.loads((CHART / "files" / "dashboards" / name).read_text())


def test_there_are_no_monitors_without_the_operator_or_the_wish() -> None:
    for manifests in (render(KEYED, apis=()), list(rendered("no-monitoring"))):
        assert kinds(manifests).isdisjoint({"PodMonitor", "ServiceMonitor", "PrometheusRule"})
        assert not [each for each in manifests if "-dashboard-" in each["metadata"]["name"]]


def test_notes_say_what_to_do_next() -> None:
    result = helm(
        "install", "judge", str(CHART), "--dry-run=client", "--namespace=judging", values=CHART / "ci/cpu-values.yaml"
    )
    assert result.returncode == 0, result.stderr
    notes = result.stdout.partition("NOTES:")[2]
    assert "http://judge-edit-rrm.judging:8000" in notes
    assert "helm --namespace judging test judge" in notes
    assert "WARNING: auth.required is false" in notes
    assert "no Prometheus operator" in notes
