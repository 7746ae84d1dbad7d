"""The Helm chart, rendered by a real Helm: what comes out, for which values, and what bad ones are told."""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edit_rrm.card import load_card
from edit_rrm_service.auth import load_keys
from edit_rrm_service.callers import CallerLimits
from edit_rrm_service.settings import Settings
from tests.deploy.chart import (
    APIS,
    CHART,
    CI,
    FETCH,
    HELM,
    Manifest,
    environment,
    find,
    helm,
    pod,
    render,
    rendered,
    server,
    template,
    tool,
)

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.skipif(HELM is None, reason=f"Helm is neither in build/tools nor in the PATH; {FETCH}"),
]

KUBERNETES = ("1.30.0", "1.34.0", "1.37.0")
"""The oldest that the chart takes, one in the middle, the newest that the validator knows."""
KEYED: dict[str, Any] = {"auth": {"existingSecret": "keys"}}
NAMES = [path.name.removesuffix("-values.yaml") for path in CI]


def test_there_is_a_file_of_values_for_every_way_to_run_it() -> None:
    wanted = {"minimal", "full", "gateway", "external-redis", "keda", "no-monitoring", "cpu", "multi-gpu"}
    assert wanted <= set(NAMES)


@pytest.mark.parametrize("path", CI, ids=NAMES)
def test_lint_is_strict_and_silent(path: Path) -> None:
    result = helm("lint", "--strict", str(CHART), values=path)
    assert result.returncode == 0, result.stdout
    assert "1 chart(s) linted, 0 chart(s) failed" in result.stdout
    assert "[WARNING]" not in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("version", KUBERNETES)
def test_manifests_are_what_kubernetes_takes(version: str, tmp_path: Path) -> None:
    validator = tool("kubernetes-validate")
    if validator is None:
        pytest.skip(f"kubernetes-validate is not there; {FETCH}")
    files = []
    for name in NAMES:
        own = [each for each in rendered(name) if not any(api.split("/")[0] in each["apiVersion"] for api in APIS)]
        files.append(tmp_path / f"{name}.yaml")
        files[-1].write_text(yaml.safe_dump_all(own))
    command = [validator, "--strict", "--kubernetes-version", version, *map(str, files)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    for file in files:
        assert f"{file}" in result.stdout + result.stderr


def test_the_validator_refuses_what_is_not_a_field(tmp_path: Path) -> None:
    validator = tool("kubernetes-validate")
    if validator is None:
        pytest.skip(f"kubernetes-validate is not there; {FETCH}")
    deployment = json.loads(json.dumps(find(rendered("minimal"), "Deployment")))
    deployment["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["preStop"] = {"slep": {"seconds": 5}}
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(deployment))
    result = subprocess.run([validator, "--strict", tmp_path / "wrong.yaml"], capture_output=True, check=False)
    assert result.returncode != 0


@pytest.mark.slow
def test_checkov_has_nothing_to_say(tmp_path: Path) -> None:
    checkov = tool("checkov")
    if checkov is None:
        pytest.skip(f"checkov is not there; {FETCH}")
    for name in NAMES:
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump_all(rendered(name)))
    config = str(CHART / ".checkov.yaml")
    command = [checkov, "--config-file", config, "--directory", str(tmp_path), "--output", "json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    summary = json.loads(result.stdout)["summary"]
    assert summary["failed"] == 0
    assert summary["passed"] > 1_000


# What is refused


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "auth.required is true and there is no Secret with API keys: name one in auth.existingSecret"),
        ({"auth": {"existingSecret": "a", "keys": {"b": {"sha256": "0" * 64}}}}, "keep the keys in one of them"),
        (KEYED | {"gpu": {"count": 0}}, "gpu.count is 0 and mode is gpu, whose image needs one: set gpu.count to 1"),
        (
            KEYED | {"redis": {"enabled": True, "external": {"url": "redis://cache:6379/0"}}},
            "redis.enabled and redis.external are both set: set redis.enabled to false to use the external Redis",
        ),
        (
            KEYED | {"redis": {"enabled": True, "external": {"existingSecret": "redis"}}},
            "redis.enabled and redis.external are both set",
        ),
        (KEYED | {"redis": {"external": {"url": "redis://a", "existingSecret": "b"}}}, "clear one of them"),
        (KEYED | {"redis": {"external": {"url": "redis://:secret@a"}}}, "put the whole URL into a Secret"),
        (
            KEYED | {"mode": "gateway", "gateway": {"baseUrls": ["http://a"]}, "autoscaling": {"kind": "hpa"}},
            "autoscaling.kind is hpa and there is nothing to scale by: set "
            "autoscaling.hpa.targetCPUUtilizationPercentage",
        ),
        (
            KEYED | {"autoscaling": {"kind": "hpa", "hpa": {"targetCPUUtilizationPercentage": 70}}},
            "mode is gpu, whose CPU use says nothing about the work that waits: set autoscaling.kind to keda",
        ),
        (
            KEYED | {"autoscaling": {"kind": "keda"}},
            "autoscaling.keda.serverAddress is empty: give the address of the Prometheus",
        ),
        (
            KEYED
            | {
                "autoscaling": {"kind": "keda", "scaleDownSeconds": 900, "keda": {"serverAddress": "http://prometheus"}}
            },
            "autoscaling.scaleDownSeconds is not longer than probes.loadSeconds",
        ),
        (
            KEYED | {"autoscaling": {"kind": "keda", "minReplicas": 5, "keda": {"serverAddress": "http://prometheus"}}},
            "autoscaling.minReplicas is more than autoscaling.maxReplicas: raise the latter",
        ),
        (KEYED | {"mode": "gateway"}, "gateway.baseUrls is empty: list the servers"),
        (KEYED | {"gateway": {"baseUrls": ["http://a"]}}, "mode is gpu: set mode to gateway, or clear"),
        (
            KEYED | {"mode": "gateway", "gateway": {"baseUrls": ["http://a"]}, "model": {"source": "claim"}},
            "mode is gateway, which holds no weights: leave model.source at image",
        ),
        (KEYED | {"model": {"source": "claim"}}, "name the PersistentVolumeClaim that holds the checkpoint"),
        (
            KEYED | {"model": {"source": "download", "download": {"repository": "a/b", "revision": "main"}}},
            "model.download.revision is not a commit: give its 40 hexadecimal digits",
        ),
        (
            KEYED
            | {
                "replicas": 2,
                "model": {"source": "download", "download": {"repository": "a/b", "revision": "0a" * 20}},
            },
            "set model.download.storage.accessModes to [ReadWriteMany]",
        ),
        (KEYED | {"model": {"card": {}}}, "set model.source to claim or download, or model.card to null"),
        (KEYED | {"ingress": {"enabled": True, "hosts": ["a"]}}, "set networkPolicy.ingressNamespace"),
        (KEYED | {"service": {"type": "LoadBalancer"}}, "list addresses in networkPolicy.clients"),
        (KEYED | {"settings": {"metricsNeedKey": True}}, "leaves no metrics at the probes' port for a monitor"),
        (KEYED | {"ui": {"enabled": True}, "replicas": 2}, "have your ingress keep a browser on one pod"),
        (KEYED | {"probes": {"port": 8000}}, "give probes a port of their own, such as 8001"),
        (KEYED | {"rollout": {"maxUnavailable": 0}}, "so that no update can begin: raise one of them"),
    ],
)
def test_values_that_cannot_be_are_refused_with_what_to_change(values: dict[str, Any], sentence: str) -> None:
    result = template(values)
    assert result.returncode != 0
    assert sentence in result.stderr


def test_everything_wrong_is_said_at_once() -> None:
    errors = template({"gpu": {"count": 0}, "probes": {"port": 8000}}).stderr
    assert all(part in errors for part in ("gpu.count is 0", "auth.required is true", "probes.port is 8000"))


@pytest.mark.parametrize(
    ("values", "api"),
    [
        ({"autoscaling": {"kind": "keda", "keda": {"serverAddress": "http://prometheus"}}}, "keda.sh/v1alpha1"),
        (
            {"httpRoute": {"enabled": True, "parentRefs": [{"name": "a"}]}, "networkPolicy": {"allowExternal": True}},
            "gateway.networking.k8s.io/v1",
        ),
    ],
)
def test_what_was_asked_for_is_not_left_out_silently(values: dict[str, Any], api: str) -> None:
    assert template(KEYED | values).returncode == 0
    without = template(KEYED | values, tuple(each for each in APIS if each != api))
    assert f"the cluster has no {api}: install" in without.stderr


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"replica": 2}, "'replica' not allowed"),
        ({"gpu": {"counts": 2}}, "'counts' not allowed"),
        ({"gpu": {"count": "two"}}, "at '/gpu/count'"),
        ({"auth": {"exisitngSecret": "keys"}}, "'exisitngSecret' not allowed"),
        ({"settings": {"maxWaitMS": 5}}, "'maxWaitMS' not allowed"),
        ({"settings": {"gpuMemoryUtilization": 1.5}}, "at '/settings/gpuMemoryUtilization'"),
        ({"resources": {"gpu": {"limit": {}}}}, "'limit' not allowed"),
        ({"auth": {"keys": {"a": {"sha256": "secret"}}}}, "at '/auth/keys/a/sha256'"),
        ({"redis": {"external": {"url": "http://cache"}}}, "at '/redis/external/url'"),
        ({"mode": "tpu"}, "at '/mode'"),
    ],
)
def test_the_schema_refuses_typos(values: dict[str, Any], where: str) -> None:
    result = template(values)
    assert result.returncode != 0
    assert "don't meet the specifications of the schema" in result.stderr
    assert where in result.stderr


SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())


def test_objects_of_the_schema_are_closed() -> None:
    """Maps of one kind of value, and what Kubernetes or the service checks itself, are the only ones open."""

    def objects(node: object, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if isinstance(node, dict):
            if node.get("type") == "object" or "properties" in node:
                yield path, node
            for key, value in node.items():
                yield from objects(value, f"{path}/{key}")
        elif isinstance(node, list):
            for index, value in enumerate(node):
                yield from objects(value, f"{path}/{index}")

    found = dict(objects(SCHEMA, ""))
    assert len(found) > 40
    assert {path for path, node in found.items() if "additionalProperties" not in node} == {"/$defs/kubernetes"}
    assert all(node["additionalProperties"] is False for node in found.values() if "properties" in node)


def test_the_schema_knows_every_setting_of_the_service() -> None:
    """Those that the chart makes from other values aside."""
    made = {
        "host", "port", "probe_port", "model", "engine", "tensor_parallel_size", "base_urls", "upstream_api_key",
        "api_key_hashes", "api_keys_file", "redis_url", "drain_delay_ms", "drain_timeout_ms", "sentinels_folder",
        "ui", "ui_runs", "ui_judges",
    }  # fmt: skip

    def camel(name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(piece.capitalize() for piece in rest)

    expected = {camel(name) for name in Settings.model_fields.keys() - made}
    assert set(SCHEMA["properties"]["settings"]["properties"]) == expected


# What comes out


@pytest.mark.parametrize("name", NAMES)
def test_the_service_takes_the_settings(name: str) -> None:
    variables = environment(rendered(name))
    own = {key.removeprefix("EDIT_RRM_").lower(): value for key, value in variables.items() if key[:9] == "EDIT_RRM_"}
    settings = Settings.model_validate(own)
    assert settings.host == "0.0.0.0"
    assert settings.engine == ("openai" if "gateway" in name else "vllm")
    assert settings.log_format == "json"


def test_settings_are_written_as_the_service_reads_them() -> None:
    values = {"maxQueuedWork": 4_000_000, "cacheTtlS": 0.5, "metricsNeedKey": True, "maxRunning": None}
    data = find(render(KEYED | {"settings": values, "monitoring": {"enabled": False}}), "ConfigMap")["data"]
    assert data["EDIT_RRM_MAX_QUEUED_WORK"] == "4000000"
    assert data["EDIT_RRM_CACHE_TTL_S"] == "0.5"
    assert data["EDIT_RRM_METRICS_NEED_KEY"] == "true"
    assert "EDIT_RRM_MAX_RUNNING" not in data


def test_the_page_is_off_unless_asked_for() -> None:
    assert not [name for name in environment(rendered("minimal")) if name.startswith("EDIT_RRM_UI")]
    page = {"enabled": True, "runs": "/runs", "judges": ["http://one:8000", "https://two"]}
    data = find(render(KEYED | {"ui": page}), "ConfigMap")["data"]
    assert data["EDIT_RRM_UI"] == "true"
    assert data["EDIT_RRM_UI_RUNS"] == "/runs"
    assert data["EDIT_RRM_UI_JUDGES"] == "http://one:8000,https://two"


def pods(manifests: tuple[Manifest, ...]) -> Iterator[Manifest]:
    for each in manifests:
        if each["kind"] == "Deployment":
            yield each["spec"]["template"]["spec"]
        elif each["kind"] == "Pod":
            yield each["spec"]


@pytest.mark.parametrize("name", NAMES)
def test_every_container_is_restricted(name: str) -> None:
    found = list(pods(rendered(name)))
    assert len(found) >= 2
    for spec in found:
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]


def test_a_pod_ends_after_the_sum_of_its_drain() -> None:
    drain = {"preStopSeconds": 7, "delaySeconds": 4, "timeoutSeconds": 300, "exitSeconds": 30}
    manifests = render(KEYED | {"drain": drain})
    assert pod(manifests)["terminationGracePeriodSeconds"] == 341
    assert server(manifests)["lifecycle"] == {"preStop": {"sleep": {"seconds": 7}}}
    assert environment(manifests)["EDIT_RRM_DRAIN_DELAY_MS"] == "4000"
    assert environment(manifests)["EDIT_RRM_DRAIN_TIMEOUT_MS"] == "300000"
    assert "lifecycle" not in server(render(KEYED | {"drain": {"preStopSeconds": 0}}))


def test_probes_have_a_port_of_their_own_and_time_to_load() -> None:
    manifests = render(KEYED | {"probes": {"port": 9001, "loadSeconds": 602, "periodSeconds": 5}})
    container = server(manifests)
    assert {"name": "probes", "containerPort": 9001, "protocol": "TCP"} in container["ports"]
    assert environment(manifests)["EDIT_RRM_PROBE_PORT"] == "9001"
    for probe, path in (("startupProbe", "/startupz"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": "probes"}
    assert container["startupProbe"]["failureThreshold"] == 121
    assert find(manifests, "Deployment")["spec"]["progressDeadlineSeconds"] == 722


@pytest.mark.parametrize(("name", "surge", "unavailable"), [("minimal", 0, 1), ("cpu", 1, 0), ("gateway", 1, 0)])
def test_a_rollout_needs_no_spare_gpu(name: str, surge: int, unavailable: int) -> None:
    strategy = find(rendered(name), "Deployment")["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": surge, "maxUnavailable": unavailable}


def test_gpus() -> None:
    manifests = rendered("multi-gpu")
    resources = server(manifests)["resources"]
    assert resources["limits"] == {"nvidia.com/gpu": 8, "memory": "256Gi"}
    assert resources["requests"]["nvidia.com/gpu"] == 8
    assert environment(manifests)["EDIT_RRM_TENSOR_PARALLEL_SIZE"] == "8"
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod(manifests)["tolerations"]
    shm = {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}}
    assert shm in pod(manifests)["volumes"]
    for name in ("cpu", "gateway"):
        assert "nvidia.com/gpu" not in json.dumps(pod(rendered(name)))
        assert server(rendered(name))["image"] == "edit-rrm:0.1.0.dev0-cpu"


def test_products_of_gpus_go_into_every_alternative_of_an_affinity() -> None:
    zones = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]} for zone in ("a", "b")]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": zones}}}
    manifests = render(KEYED | {"gpu": {"products": ["H100"]}, "affinity": affinity})
    found = pod(manifests)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert [[e["key"] for e in term["matchExpressions"]] for term in found["nodeSelectorTerms"]] == [
        ["zone", "nvidia.com/gpu.product"]
    ] * 2


def test_a_download_is_pinned_and_the_service_is_offline() -> None:
    manifests = rendered("full")
    download, card = pod(manifests)["initContainers"]
    variables = {each["name"]: each.get("value") for each in download["env"]}
    assert variables["MODEL_REVISION"] == "0123456789abcdef0123456789abcdef01234567"
    assert json.loads(str(variables["MODEL_SHA256"])) == {"config.json": "ab12" * 16}
    assert card["command"][-1] == environment(manifests)["EDIT_RRM_MODEL"] == "/judge"
    assert environment(manifests)["HF_HUB_OFFLINE"] == "1"
    mounts = {each["name"]: each for each in server(manifests)["volumeMounts"]}
    assert mounts["models"]["readOnly"] is True
    claim = find(manifests, "PersistentVolumeClaim", "judge-edit-rrm-models")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert find(manifests, "Deployment")["spec"]["progressDeadlineSeconds"] == 900 + 1800 + 120


def test_a_checkpoint_on_a_claim_is_served_from_where_it_is() -> None:
    manifests = rendered("keda")
    assert environment(manifests)["EDIT_RRM_MODEL"] == "/models/qwen2.5-vl-7b"
    assert "initContainers" not in pod(manifests)
    volume = {"name": "models", "persistentVolumeClaim": {"claimName": "judges", "readOnly": True}}
    assert volume in pod(manifests)["volumes"]


def test_the_card_is_one_that_the_service_reads(tmp_path: Path) -> None:
    data = find(rendered("full"), "ConfigMap", "judge-edit-rrm-model")["data"]
    (tmp_path / "edit_rrm.json").write_text(data["edit_rrm.json"])
    card = load_card(tmp_path)
    assert card is not None
    assert card.label_mass_floor == 0.6


def test_the_keys_file_is_one_that_the_service_reads(tmp_path: Path) -> None:
    text = find(rendered("full"), "Secret", "judge-edit-rrm-keys")["stringData"]["keys.toml"]
    assert tomllib.loads(text)["keys"]["trainer-a"]["max_concurrent"] == 64
    (tmp_path / "keys.toml").write_text(text)
    keys = load_keys((), tmp_path / "keys.toml", CallerLimits(None, None))
    caller = keys.caller("Bearer test")
    assert caller is not None
    assert (caller.name, caller.weight, caller.limits.requests_per_minute) == ("trainer-a", 2.0, 1200.0)
    assert environment(rendered("full"))["EDIT_RRM_API_KEYS_FILE"] == "/etc/edit-rrm/keys/keys.toml"
