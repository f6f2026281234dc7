"""The chart on a real API server: what it takes, what an upgrade leaves alone, and what stays when the release goes.

There is no kubelet here; that the processes run in their pods is in `tests/e2e`.
"""

import base64
import json
import shutil
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from support import crds
from support.cluster import Cluster
from support.helm import CHART, HA, OUTSIDE, TOGGLES, Installed, Manifest, Refused, Values, merged, template
from support.resource_manifests import orders
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("own_cluster")

KINDS = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")
BUNDLE = base64.b64encode(b"-----BEGIN CERTIFICATE-----\n").decode()
DEFINITIONS = [f"crd/{yaml.safe_load(file.read_text())['metadata']['name']}" for file in crds.FILES]


@pytest.fixture(scope="module", autouse=True)
def foreign_kinds(cluster: Cluster) -> None:
    """Stand in for the Prometheus Operator and cert-manager: their kinds, with any fields."""
    kinds = [
        ("PodMonitor", "podmonitors", "monitoring.coreos.com"),
        ("PrometheusRule", "prometheusrules", "monitoring.coreos.com"),
        ("Certificate", "certificates", "cert-manager.io"),
    ]
    cluster.apply(*(_definition(*each) for each in kinds))
    names = [f"crd/{plural}.{group}" for _, plural, group in kinds]
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)


def _definition(kind: str, plural: str, group: str) -> Manifest:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


@pytest.fixture
def installed(cluster: Cluster) -> Iterator[Installed]:
    """A release of a test's own, not installed yet, in a namespace with the strictest pod security."""
    with cluster.namespace("chart") as namespace:
        cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
        crds.install(cluster)
        release = Installed(cluster, namespace, f"r-{uuid.uuid4().hex[:8]}")
        release.adopt(*DEFINITIONS)
        try:
            yield release
        finally:
            release.uninstall()


@pytest.mark.parametrize("toggle", TOGGLES)
def test_every_toggle_is_taken_as_it_is_and_its_pods_are_made(
    cluster: Cluster, installed: Installed, toggle: str
) -> None:
    if TOGGLES[toggle].get("webhook", {}).get("hostNetwork"):
        cluster.kubectl("label", "namespace", installed.namespace, "pod-security.kubernetes.io/enforce-", "--overwrite")
    definitions: Manifest = {} if toggle == "defaults" else {"crds": {"enabled": False}}
    values = merged(TOGGLES[toggle], definitions)
    manifests = installed.install(values)
    assert _names(manifests) == _names(template(values, release=installed.release, namespace=installed.namespace))
    for each in manifests:
        if each["kind"] in ("Deployment", "StatefulSet"):
            made = partial(_all_made, cluster, each)
            eventually(made, f"the API server lets the pods of {each['metadata']['name']} pass")


def named(values: Values, installed: Installed) -> Manifest:
    """Return the values with the release's name for everything."""
    return merged(values, {"fullnameOverride": installed.release})


def _names(manifests: list[Manifest]) -> list[tuple[str, str]]:
    return sorted((each["kind"], each["metadata"]["name"]) for each in manifests)


def _all_made(cluster: Cluster, workload: Manifest) -> bool:
    metadata = workload["metadata"]
    found = cluster.get(workload["kind"], metadata["name"], "-n", metadata["namespace"])
    return bool(found["status"].get("replicas", 0) == workload["spec"]["replicas"])


EVERYTHING = merged(*TOGGLES.values(), {"nats": {"persistence": {"enabled": True}}})
SETS: dict[str, Manifest] = {
    "with a NATS of the user's": merged(EVERYTHING, {"nats": {"enabled": False}, "crds": {"enabled": True}}),
    "with the built-in NATS": merged(EVERYTHING, {"nats": {"url": "", "credentialsSecret": ""}}),
}


@pytest.mark.parametrize("server_side", [True, False], ids=["server-side", "client-side"])
@pytest.mark.parametrize("values", SETS.values(), ids=SETS.keys())
def test_what_is_applied_by_argo_cd_or_flux_shows_no_drift_afterwards(
    cluster: Cluster, namespace: str, values: Manifest, server_side: bool
) -> None:
    """Nothing that is written is read back as another thing, by either way to apply."""
    manifests = template(merged(values, {"fullnameOverride": f"d-{uuid.uuid4().hex[:8]}"}), namespace=namespace)
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    how = ["--server-side", "--force-conflicts"] if server_side else []
    ours = [each for each in manifests if each["kind"] != "CustomResourceDefinition"]
    try:
        cluster.kubectl("apply", *how, "-f-", stdin=manifest)
        cluster.kubectl("diff", *how, "-f-", stdin=manifest)  # it fails over a difference
    finally:
        removed = json.dumps({"apiVersion": "v1", "kind": "List", "items": ours})
        cluster.kubectl("delete", "--ignore-not-found", "--wait=false", "-f-", stdin=removed)


def test_the_registration_is_stored_to_the_field_as_it_is_written(cluster: Cluster, installed: Installed) -> None:
    manifests = installed.install(OUTSIDE)
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        (written,) = (each for each in manifests if each["kind"] == kind)
        assert cluster.get(kind, written["metadata"]["name"])["webhooks"] == written["webhooks"]


# --- upgrades ---


def test_an_upgrade_and_a_rollback_leave_the_bundle_that_the_controller_wrote(
    cluster: Cluster, installed: Installed
) -> None:
    installed.install(named(OUTSIDE, installed))
    _write_bundles(cluster, installed.release)
    installed.upgrade(named(merged(OUTSIDE, HA, {"commonLabels": {"a": "b"}}), installed))
    assert _bundles(cluster, installed.release) == {BUNDLE}
    assert _replicas(cluster, installed) == 2
    installed.rollback(1)
    assert _bundles(cluster, installed.release) == {BUNDLE}
    assert _replicas(cluster, installed) == 1


@pytest.mark.parametrize("server_side", [True, False])
def test_applying_again_leaves_the_bundle_that_the_controller_wrote(
    cluster: Cluster, namespace: str, server_side: bool
) -> None:
    how = ["--server-side", "--force-conflicts"] if server_side else []
    name = f"b-{uuid.uuid4().hex[:8]}"
    manifests = template(merged(OUTSIDE, {"fullnameOverride": name}), namespace=namespace)
    registration = [each for each in manifests if each["kind"].endswith("WebhookConfiguration")]
    try:
        for team in ("a", "b"):
            for each in registration:
                each["metadata"]["labels"]["team"] = team
            cluster.kubectl(
                "apply", *how, "-f-", stdin=json.dumps({"kind": "List", "apiVersion": "v1", "items": registration})
            )
            if team == "a":
                _write_bundles(cluster, name)
        assert _bundles(cluster, name) == {BUNDLE}
    finally:
        cluster.kubectl("delete", ",".join(KINDS), name)


def _write_bundles(cluster: Cluster, name: str) -> None:
    """Do what the controller does."""
    for kind in KINDS:
        webhooks = [
            {"name": each["name"], "clientConfig": {"caBundle": BUNDLE}} for each in _webhooks(cluster, kind, name)
        ]
        patch = json.dumps({"webhooks": webhooks})
        cluster.kubectl("patch", kind, name, "--type=strategic", "--field-manager=choregos-certificates", f"-p={patch}")


def _bundles(cluster: Cluster, name: str) -> set[str | None]:
    return {each["clientConfig"].get("caBundle") for kind in KINDS for each in _webhooks(cluster, kind, name)}


def _webhooks(cluster: Cluster, kind: str, name: str) -> list[Manifest]:
    found: list[Manifest] = cluster.get(kind, name)["webhooks"]
    return found


def _replicas(cluster: Cluster, installed: Installed) -> int:
    found = cluster.get("deployment", f"{installed.release}-webhook", "-n", installed.namespace)
    return int(found["spec"]["replicas"])


def test_an_upgrade_changes_the_definitions_too(cluster: Cluster, installed: Installed, tmp_path: Path) -> None:
    before = shutil.copytree(CHART, tmp_path / "choregos")
    file = before / "templates" / "crds" / "choreographies.yaml"
    file.write_text(file.read_text().replace("description: Number of reactions.", "description: As it was."))
    installed.install(OUTSIDE, before)
    assert "As it was." in _columns(cluster)
    installed.upgrade(OUTSIDE)
    assert "As it was." not in _columns(cluster)


def _columns(cluster: Cluster) -> str:
    (version,) = cluster.get("crd/choreographies.choregos.dev")["spec"]["versions"]
    return str(version["additionalPrinterColumns"])


@pytest.mark.parametrize("action", ["install", "upgrade"])
def test_what_the_schema_or_a_template_refuses_reaches_no_cluster(installed: Installed, action: str) -> None:
    if action == "upgrade":
        installed.install(OUTSIDE)
    refused: list[tuple[Manifest, str]] = [
        ({"operator": {"logLevel": "loud"}}, "logLevel"),
        ({"nats": {"enabled": True}}, "remove nats.url"),
    ]
    for wrong, sentence in refused:
        with pytest.raises(Refused, match=sentence):
            getattr(installed, action)(merged(OUTSIDE, wrong))


# --- what stays ---


def test_the_definitions_and_every_choreography_stay_when_the_release_goes_and_the_next_one_has_them(
    cluster: Cluster, installed: Installed, namespace: str
) -> None:
    installed.install(OUTSIDE)
    cluster.kubectl("delete", ",".join(KINDS), installed.release + "-choregos")  # nobody answers here
    cluster.apply(orders(), namespace=namespace)
    installed.uninstall()
    assert cluster.get("chor", "orders", "-n", namespace)["metadata"]["name"] == "orders"
    left = cluster.kubectl(
        "get", "deploy,sts,svc,cm,sa,role,rolebinding", "-n", installed.namespace, "-o=name", f"-l={_label(installed)}"
    )
    assert left == ""
    assert (
        cluster.kubectl(
            "get", f"clusterrole,clusterrolebinding,{','.join(KINDS)}", "-o=name", f"-l={_label(installed)}"
        )
        == ""
    )
    installed.install(OUTSIDE)
    assert cluster.get("chor", "orders", "-n", namespace)["metadata"]["name"] == "orders"


def _label(installed: Installed) -> str:
    return f"app.kubernetes.io/instance={installed.release}"


# --- rights in force ---


@pytest.mark.parametrize("role", ["view", "edit", "admin"])
def test_whoever_may_view_or_edit_a_namespace_may_do_so_with_its_choreographies(
    cluster: Cluster, installed: Installed, namespace: str, role: str
) -> None:
    user = f"{role}-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "rolebinding", user, f"--clusterrole={role}", f"--user={user}", "-n", namespace)
    installed.install(OUTSIDE)

    def may(verb: str) -> bool:
        kubectl = cluster.kubectl_as(cluster.kubeconfig)
        return kubectl.succeeds("auth", "can-i", verb, "chor.choregos.dev", f"--as={user}", "-n", namespace, "--quiet")

    eventually(lambda: may("list"), f"{role} is extended")
    eventually(lambda: may("delete") is (role != "view"), "what it is not for, is not in it")
    assert not cluster.kubectl_as(cluster.kubeconfig).succeeds(
        "auth", "can-i", "list", "chor.choregos.dev", f"--as={user}", "-n", "default", "--quiet"
    )


def test_the_accounts_may_do_what_the_code_says_and_only_in_their_place(cluster: Cluster, installed: Installed) -> None:
    installed.install(named(OUTSIDE, installed))
    name, namespace = installed.release, installed.namespace

    def may(process: str, verb: str, target: str, where: str = namespace) -> bool:
        account = f"system:serviceaccount:{namespace}:{name}-{process}"
        kubectl = cluster.kubectl_as(cluster.kubeconfig)
        return kubectl.succeeds("auth", "can-i", verb, target, f"--as={account}", "-n", where, "--quiet")

    eventually(
        lambda: may("controller", "update", f"leases.coordination.k8s.io/{name}-controller"), "rights are in force"
    )
    assert may("controller", "get", f"secrets/{name}-webhook")
    assert not may("controller", "get", "secrets/another")
    assert not may("controller", "create", "secrets", where="default")
    assert may("controller", "patch", f"mutatingwebhookconfigurations.admissionregistration.k8s.io/{name}")
    assert may("controller", "patch", "pods", where="default")
    assert not may("controller", "create", "pods")
    assert may("webhook", "list", "choreographies.choregos.dev", where="default")
    assert not may("webhook", "list", "configmaps")
