"""What the chart renders is what a user asked for: for every toggle, on any cluster, the same bytes each time."""

import re
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import yaml
from helm_python import lint

from choregos_contract.event_bus import EventBusSpec
from choregos_operator.annotations import SERVICE_LABEL
from choregos_operator.injection.container import METRICS_PORT
from choregos_operator.settings import PREFIX, Settings
from support.helm import (
    BUILT_IN,
    CHART,
    NAMESPACE,
    OUTSIDE,
    TOGGLES,
    Manifest,
    environment,
    merged,
    only,
    pods,
    template,
    texts,
)

EVERY_TOGGLE = pytest.mark.parametrize("toggle", TOGGLES)
INFO, WARNING = 1, 2


def test_the_chart_is_of_this_distribution() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version("choregos"), version("choregos"))
    assert chart["kubeVersion"] == ">=1.29.0-0"


@EVERY_TOGGLE
@pytest.mark.parametrize("kube_version", ["v1.29.0", "v1.34.2"])
def test_a_strict_lint_finds_nothing(toggle: str, kube_version: str) -> None:
    report = lint(CHART, TOGGLES[toggle], strict=True, namespace=NAMESPACE, kube_version=kube_version)
    assert report["errors"] == []
    assert [each for each in report["messages"] if each["severity"] >= WARNING] == []


@EVERY_TOGGLE
def test_twice_rendered_it_is_the_same_to_the_byte(toggle: str) -> None:
    assert texts(TOGGLES[toggle]) == texts(TOGGLES[toggle])


def test_nothing_in_a_template_is_another_thing_at_another_time_or_place() -> None:
    """No random values, no time, no look at the cluster, no hook: what Argo CD renders is what Helm renders."""
    forbidden = re.compile(r"\b(rand\w+|gen\w*Cert\w*|genCA|uuidv4|now|date|lookup|Release\.Is\w+|Release\.Revision)\b")
    for file in sorted((CHART / "templates").rglob("*")):
        if file.is_file() and "crds" not in file.parts:
            code = " ".join(re.findall(r"\{\{.*?\}\}", file.read_text(), re.DOTALL))
            assert not forbidden.search(re.sub(r"/\*.*?\*/|\"[^\"]*\"|`[^`]*`", "", code, flags=re.DOTALL)), file.name
            assert "helm.sh/hook" not in file.read_text()


@EVERY_TOGGLE
def test_no_manifest_is_there_twice_and_none_is_of_our_own_kinds_or_holds_a_bundle(toggle: str) -> None:
    manifests = template(TOGGLES[toggle])
    names = [(each["kind"], each["metadata"]["name"]) for each in manifests]
    assert len(names) == len(set(names))
    assert {each["kind"] for each in manifests} & {"Choreography", "EventBus", "Secret", "Namespace"} == set()
    assert "caBundle" not in str([each for each in manifests if each["kind"] != "CustomResourceDefinition"])


CLUSTER_WIDE = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
}


@EVERY_TOGGLE
def test_everything_that_has_a_namespace_is_in_the_releases(toggle: str) -> None:
    for each in template(TOGGLES[toggle], namespace="elsewhere"):
        wanted = None if each["kind"] in CLUSTER_WIDE else "elsewhere"
        assert each["metadata"].get("namespace") == wanted, each["metadata"]["name"]


@pytest.mark.parametrize("release", ["choregos", "events", "r" * 53])
def test_all_names_are_valid_and_begin_with_the_releases(release: str) -> None:
    for each in template(TOGGLES["built-in NATS"], release=release):
        if each["kind"] != "CustomResourceDefinition":
            assert re.fullmatch(rf"{release[:50]}[a-z0-9-]*", each["metadata"]["name"])
            assert len(each["metadata"]["name"]) <= 63


@EVERY_TOGGLE
def test_every_object_is_labelled_for_whoever_looks_for_what_belongs_together(toggle: str) -> None:
    values = merged(TOGGLES[toggle], {"commonLabels": {"team": "platform"}})
    for each in template(values):
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == labels["app.kubernetes.io/part-of"] == "choregos"
        assert labels["app.kubernetes.io/instance"] == "choregos"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["team"] == "platform"


def test_what_selects_pods_selects_those_of_one_process_and_an_upgrade_changes_neither_labels() -> None:
    manifests = template(merged(*TOGGLES.values(), {"nats": {"url": "", "credentialsSecret": ""}}))
    labels = {
        pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod["metadata"]["labels"] for pod in pods(manifests)
    }
    assert labels.keys() == {"controller", "webhook", "nats"}
    assert not [
        key for each in labels.values() for key in each if key in ("helm.sh/chart", "app.kubernetes.io/version")
    ]
    selectors = [(each["metadata"]["name"], found) for each in manifests for found in _selectors(each)]
    assert len(selectors) >= 3 + 2 + 2 + 2 + 3  # workloads, Services, budgets, monitors, policies
    for name, selector in selectors:
        (selected,) = (process for process, each in labels.items() if selector.items() <= each.items())
        assert name == f"choregos-{selected}"


def _selectors(manifest: Manifest) -> Iterator[dict[str, str]]:
    spec = manifest.get("spec", {})
    for field in ("selector", "podSelector"):
        found = spec.get(field, {})
        found = found.get("matchLabels", found) if isinstance(found, dict) else {}
        if found and "matchExpressions" not in found:
            yield found


# --- pods ---


@EVERY_TOGGLE
def test_every_container_is_as_restricted_as_pod_security_has_it(toggle: str) -> None:
    """That a real API server lets them pass, is in `tests/cluster`; this is for what it does not ask for."""
    found = list(pods(template(TOGGLES[toggle])))
    assert found
    for pod in found:
        security = pod["spec"]["securityContext"]
        assert (security["runAsNonRoot"], security["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
        assert security["runAsUser"] in (65532, 1000)
        for container in pod["spec"]["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@EVERY_TOGGLE
def test_every_container_is_asked_after_and_bounded(toggle: str) -> None:
    for pod in pods(template(TOGGLES[toggle])):
        (container,) = pod["spec"]["containers"]
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["resources"]["limits"].keys() == {"memory"}
        # The variables that Kubernetes makes of a Service choregos-webhook would be taken for settings.
        assert pod["spec"]["enableServiceLinks"] is False


def test_a_pod_has_what_users_give_it() -> None:
    manifests = template(TOGGLES["everything of a pod"])
    for pod in pods(manifests):
        spec, metadata = pod["spec"], pod["metadata"]
        assert spec["imagePullSecrets"] == [{"name": "mirror"}]
        assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
        assert spec["tolerations"] == [{"key": "critical", "operator": "Exists"}]
        assert spec["affinity"].keys() == {"nodeAffinity"}
        assert spec["priorityClassName"] == "system-cluster-critical"
        assert spec["securityContext"]["runAsUser"] == 1000
        assert metadata["annotations"]["example.com/note"] == "a"
        assert (metadata["labels"]["example.com/kind"], metadata["labels"]["team"]) == ("b", "platform")
        assert spec["containers"][0]["image"].startswith("mirror.example/")
    for process in ("controller", "webhook"):
        assert environment(manifests, process)["HTTPS_PROXY"] == "http://proxy:3128"
        account = only(manifests, "ServiceAccount", f"choregos-{process}")
        assert account["metadata"]["annotations"] == {"example.com/role": "c"}
    assert environment(manifests, "webhook")["CHOREGOS_AMBASSADOR_IMAGE"].startswith("mirror.example/choregos/")


def test_a_label_of_one_process_or_object_goes_before_the_common_one_and_is_there_once() -> None:
    mine = {"team": "mine"}
    values = merged(
        BUILT_IN,
        {"commonLabels": {"team": "all", "floor": "2"}, "controller": {"podLabels": mine}},
        {"podMonitor": {"enabled": True, "labels": mine}, "prometheusRule": {"enabled": True, "labels": mine}},
    )
    manifests = template(values)
    for kind, name in (
        ("PodMonitor", "choregos-webhook"),
        ("PodMonitor", "choregos-ambassadors"),
        ("PrometheusRule", "choregos"),
    ):
        labels = only(manifests, kind, name)["metadata"]["labels"]
        assert (labels["team"], labels["floor"]) == ("mine", "2")
    of = {pod["spec"]["containers"][0]["name"]: pod["metadata"]["labels"]["team"] for pod in pods(manifests)}
    assert of == {"controller": "mine", "webhook": "all", "nats": "all"}
    for text in texts(values).values():
        for block in re.findall(r"labels:\n((?: +[\w./-]+: .*\n)+)", text):
            keys = [line.split(":")[0] for line in block.splitlines()]
            assert len(keys) == len(set(keys)), block


def test_users_that_the_cluster_assigns_take_the_place_of_ours() -> None:
    values = merged(OUTSIDE, {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}})
    for pod in pods(template(values)):
        assert pod["spec"]["securityContext"].keys() == {"runAsNonRoot", "seccompProfile"}


def test_the_webhook_mounts_of_its_secret_what_it_serves_and_no_authoritys_key() -> None:
    spec = only(template(OUTSIDE), "Deployment", "choregos-webhook")["spec"]["template"]["spec"]
    (volume,) = spec["volumes"]
    assert [item["key"] for item in volume["secret"]["items"]] == ["tls.crt", "tls.key"]
    assert volume["secret"]["optional"] is True


def test_an_upgrade_takes_no_webhook_away_before_the_next_one_answers() -> None:
    for process in ("controller", "webhook"):
        strategy = only(template(OUTSIDE), "Deployment", f"choregos-{process}")["spec"]["strategy"]
        assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_where_each_node_has_one_on_its_network_a_rollout_takes_an_old_one_away_first() -> None:
    """With the ports of all nodes taken, a rollout that waits for a new pod would wait for ever."""
    strategy = only(template(TOGGLES["network of the node"]), "Deployment", "choregos-webhook")["spec"]["strategy"]
    assert strategy["rollingUpdate"]["maxUnavailable"] == 1


def test_pods_of_the_systems_priority_classes_are_let_in_where_that_takes_a_quota() -> None:
    quota = only(template(TOGGLES["high availability"]), "ResourceQuota", "choregos-critical-pods")["spec"]
    (scope,) = quota["scopeSelector"]["matchExpressions"]
    assert scope == {"scopeName": "PriorityClass", "operator": "In", "values": ["system-cluster-critical"]}
    assert quota["hard"] == {"pods": "1G"}  # others in the namespace are not to be bounded by it
    for values, namespace in (
        (OUTSIDE, NAMESPACE),
        (merged(OUTSIDE, {"controller": {"priorityClassName": "of-our-own"}}), NAMESPACE),
        (TOGGLES["high availability"], "kube-system"),
    ):
        assert "ResourceQuota" not in {each["kind"] for each in template(values, namespace=namespace)}


def test_high_availability_is_two_of_each_spread_and_guarded() -> None:
    manifests = template(TOGGLES["high availability"])
    for process in ("controller", "webhook"):
        spec = only(manifests, "Deployment", f"choregos-{process}")["spec"]
        assert spec["replicas"] == 2
        assert spec["template"]["spec"]["priorityClassName"] == "system-cluster-critical"
        for constraint in spec["template"]["spec"]["topologySpreadConstraints"]:
            assert constraint["labelSelector"] == spec["selector"]
        budget = only(manifests, "PodDisruptionBudget", f"choregos-{process}")["spec"]
        assert (budget["minAvailable"], budget["selector"]) == (1, spec["selector"])


# --- images ---


DIGEST = f"sha256:{'a' * 64}"
IMAGES: list[tuple[Manifest, str]] = [
    ({}, f"ghcr.io/choregos/operator:{version('choregos')}"),
    ({"operator": {"image": {"tag": "1.2"}}}, "ghcr.io/choregos/operator:1.2"),
    ({"operator": {"image": {"tag": "1.2", "digest": DIGEST}}}, f"ghcr.io/choregos/operator@{DIGEST}"),
    (
        {"operator": {"image": {"registry": "r.example", "repository": "o"}}},
        f"r.example/o:{version('choregos')}",
    ),
    ({"operator": {"image": {"registry": ""}}}, f"choregos/operator:{version('choregos')}"),
    (
        {"global": {"imageRegistry": "mirror.example:5000/proxy/"}},
        f"mirror.example:5000/proxy/choregos/operator:{version('choregos')}",
    ),
]


@pytest.mark.parametrize(("values", "wanted"), IMAGES)
def test_an_image_is_the_one_that_was_named(values: Manifest, wanted: str) -> None:
    (container,) = only(template(merged(OUTSIDE, values)), "Deployment", "choregos-webhook")["spec"]["template"][
        "spec"
    ]["containers"]
    assert container["image"] == wanted


def test_the_ambassadors_image_is_the_one_of_this_release_as_the_operators_own_default() -> None:
    assert environment(template(OUTSIDE), "webhook")["CHOREGOS_AMBASSADOR_IMAGE"] == Settings().ambassador_image


# --- settings ---


@EVERY_TOGGLE
def test_both_processes_can_use_what_they_are_told(toggle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for process in ("controller", "webhook"):
        told = _settings(environment(template(TOGGLES[toggle]), process), monkeypatch)
        assert told.namespace == NAMESPACE


def test_every_setting_is_told_and_by_default_as_if_it_were_not(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = environment(template(OUTSIDE), "controller")
    optional = {"CHOREGOS_NATS_CREDENTIALS"}
    assert {PREFIX + name.upper() for name in Settings.model_fields} - variables.keys() == optional
    usual = Settings()
    assert _settings(variables, monkeypatch) == usual


TOLD: list[tuple[Manifest, dict[str, Any]]] = [
    ({"operator": {"logLevel": "debug"}}, {"log_level": "debug"}),
    ({"operator": {"orphanTtlDays": 0.5}}, {"orphan_ttl_days": 0.5}),
    ({"operator": {"sweepSeconds": 5000000}}, {"sweep_seconds": 5_000_000.0}),
    ({"operator": {"leaseSeconds": 5000000}}, {"lease_seconds": 5_000_000}),
    ({"operator": {"evictUninjected": True}}, {"evict_uninjected": True}),
    ({"operator": {"listenAddress": "::"}}, {"webhook_host": "::", "probes_host": "::"}),
    ({"webhook": {"port": 10250}}, {"webhook_port": 10250}),
    ({"ambassador": {"image": {"tag": "x"}}}, {"ambassador_image": "ghcr.io/choregos/ambassador:x"}),
    ({"nats": {"url": "nats://a:4222,nats://b:4222"}}, {"nats_url": "nats://a:4222,nats://b:4222"}),
    (
        {"nats": {"enabled": True, "url": ""}},
        {"nats_url": f"nats://choregos-nats.{NAMESPACE}.svc:4222"},
    ),
    (
        {"certificates": {"certManager": {"enabled": True, "issuerRef": {"name": "x"}}}},
        {"own_certificates": False},
    ),
    (
        {"fullnameOverride": "other"},
        {
            "webhook_secret": "other-webhook",
            "webhook_service": "other-webhook",
            "webhook_configuration": "other",
            "lease": "other-controller",
        },
    ),
]


@pytest.mark.parametrize(("values", "changed"), TOLD)
def test_a_value_is_told_as_the_setting_that_it_stands_for(
    values: Manifest, changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = template(merged(OUTSIDE, values))
    usual = Settings()
    (webhook,) = (each for each in manifests if each["kind"] == "Deployment" and "webhook" in each["metadata"]["name"])
    (container,) = webhook["spec"]["template"]["spec"]["containers"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    assert _settings(variables, monkeypatch) == usual.model_copy(update=changed)
    assert container["ports"][0]["containerPort"] == changed.get("webhook_port", usual.webhook_port)


def test_the_controllers_credentials_are_mounted_where_it_is_told_and_the_webhook_has_none() -> None:
    manifests = template(TOGGLES["credentials"])
    spec = only(manifests, "Deployment", "choregos-controller")["spec"]["template"]["spec"]
    (volume,) = spec["volumes"]
    assert volume["secret"]["secretName"] == "nats-credentials"
    (mount,) = spec["containers"][0]["volumeMounts"]
    assert mount["mountPath"] == environment(manifests, "controller")["CHOREGOS_NATS_CREDENTIALS"]
    assert "CHOREGOS_NATS_CREDENTIALS" not in environment(manifests, "webhook")


def _settings(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    with monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        return Settings()


# --- NATS ---


def test_the_built_in_nats_keeps_nine_tenths_of_its_volume_and_restarts_when_its_configuration_changes() -> None:
    def seen(size: str) -> tuple[str, str]:
        manifests = template(merged(BUILT_IN, {"nats": {"persistence": {"size": size}}}))
        text = only(manifests, "ConfigMap", "choregos-nats")["data"]["nats.conf"]
        annotations = only(manifests, "StatefulSet", "choregos-nats")["spec"]["template"]["metadata"]["annotations"]
        return re.findall(r"max_file_store: (\S+)", text)[0], annotations["checksum/configuration"]

    stores = {size: seen(size) for size in ("500Mi", "2Gi", "3Ti")}
    assert [store for store, _ in stores.values()] == ["450MiB", "1843MiB", "2831155MiB"]
    assert len({checksum for _, checksum in stores.values()}) == len(stores)


def test_the_built_in_nats_has_room_for_the_default_buses_of_several_namespaces() -> None:
    text = only(template(BUILT_IN), "ConfigMap", "choregos-nats")["data"]["nats.conf"]
    store = int(re.findall(r"max_file_store: (\d+)MiB", text)[0]) * 2**20
    bus = EventBusSpec()
    assert store >= 5 * (bus.stream.max_bytes + bus.dead_letters.max_bytes)


def test_the_claim_of_the_built_in_nats_is_of_the_storage_class_that_was_named() -> None:
    manifests = template(merged(BUILT_IN, {"nats": {"persistence": {"storageClass": "fast", "size": "5Gi"}}}))
    (claim,) = only(manifests, "StatefulSet", "choregos-nats")["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["resources"] == {"requests": {"storage": "5Gi"}}


# --- the definitions, and what looks at pods ---


def test_the_definitions_are_those_of_the_repository_and_stay() -> None:
    for file in sorted((CHART.parents[1] / "crds").glob("*.yaml")):
        wanted = yaml.safe_load(file.read_text())
        for keep in (True, False):
            values = merged(OUTSIDE, {"crds": {"keep": keep}})
            found = only(template(values), "CustomResourceDefinition", wanted["metadata"]["name"])
            assert found["spec"] == wanted["spec"]
            assert found["metadata"].get("annotations") == ({"helm.sh/resource-policy": "keep"} if keep else None)


def test_without_definitions_and_roles_there_are_none() -> None:
    manifests = template(TOGGLES["without definitions and roles"])
    assert not [each for each in manifests if each["kind"] == "CustomResourceDefinition"]
    assert not [each for each in manifests if each["metadata"]["name"] in ("choregos-view", "choregos-edit")]


def test_the_ambassadors_of_all_namespaces_are_scraped_at_the_port_that_they_are_injected_with() -> None:
    spec = only(template(TOGGLES["monitoring"]), "PodMonitor", "choregos-ambassadors")["spec"]
    assert spec["namespaceSelector"] == {"any": True}
    assert spec["selector"]["matchExpressions"] == [{"key": SERVICE_LABEL, "operator": "Exists"}]
    (endpoint,) = spec["podMetricsEndpoints"]
    assert endpoint["port"] == METRICS_PORT


def test_the_operators_ports_that_are_scraped_are_those_of_its_pods() -> None:
    manifests = template(TOGGLES["monitoring"])
    for process in ("controller", "webhook"):
        (endpoint,) = only(manifests, "PodMonitor", f"choregos-{process}")["spec"]["podMetricsEndpoints"]
        spec = only(manifests, "Deployment", f"choregos-{process}")["spec"]["template"]["spec"]
        assert endpoint["port"] in {port["name"] for port in spec["containers"][0]["ports"]}
        assert endpoint["honorLabels"] is True


PORTS = [
    ("nats://a", [4222]),
    ("nats://a:1, tls://b:2/,nats://c:1", [1, 2]),
    ("ws://a,wss://b", [443, 80]),
    ("nats://[fd00::1]:4333", [4333]),
]


@pytest.mark.parametrize(("url", "ports"), PORTS)
def test_a_network_policy_lets_the_controller_go_to_its_nats(url: str, ports: list[int]) -> None:
    values = merged(OUTSIDE, {"nats": {"url": url}, "networkPolicy": {"enabled": True}})
    egress = only(template(values), "NetworkPolicy", "choregos-controller")["spec"]["egress"]
    assert {"ports": [{"protocol": "TCP", "port": port} for port in ports]} in egress


def test_the_notes_name_the_next_two_commands_and_warn_of_the_built_in_nats() -> None:
    outside, built_in = (texts(values)["choregos/templates/NOTES.txt"] for values in (OUTSIDE, BUILT_IN))
    assert len(re.findall(r"^  kubectl ", outside, re.MULTILINE)) == 2
    assert f"deployment/choregos-webhook --namespace {NAMESPACE}" in outside
    assert "WARNING" in built_in
    assert "WARNING" not in outside
