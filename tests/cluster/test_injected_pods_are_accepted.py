"""The injection against a real API server, whose own admission plugins run once more after a webhook."""

import base64
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from choregos_operator.injection import Injected, inject, json_patch
from support.certificates import Authority
from support.cluster import Cluster
from support.kubectl import KubectlError
from support.labelled_pods import LABELS, PODS, SETTINGS, configured, container, pod
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("own_cluster")

NAME = "choregos-ambassador"
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
STAND_IN = "choregos-configuration"
CONFIGURATION = configured()
LIMITED = pod(annotations={"choregos.dev/memory-limit": "128Mi"})

Pod = dict[str, Any]
Mutation = Callable[[Pod], Pod]


def ours(wanted: Pod) -> Pod:
    answer = inject(wanted, settings=SETTINGS, configuration=CONFIGURATION, bus=None)
    assert isinstance(answer, Injected), answer
    return answer.pod


def ours_without_a_mount_in_the_tokens_place(wanted: Pod) -> Pod:
    injected = ours(wanted)
    sidecar = injected["spec"]["initContainers"][0]
    kept = [each for each in sidecar["volumeMounts"] if (each["mountPath"], each["name"]) != (TOKEN, STAND_IN)]
    sidecar["volumeMounts"] = kept
    return injected


def late(wanted: Pod) -> Pod:
    """What a mesh's webhook does: a container more, and an init container before all others."""
    if any(each["name"] == "late" for each in wanted["spec"]["containers"]):
        return wanted
    spec = {**wanted["spec"], "containers": [*wanted["spec"]["containers"], container("late")]}
    return {**wanted, "spec": {**spec, "initContainers": [container("early"), *spec.get("initContainers", ())]}}


class Webhooks(BaseHTTPRequestHandler):
    """Answers an admission review by the mutation that the path names."""

    mutations: Mapping[str, Mutation]
    asked: list[str]

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = review.pop("request")
        name = urlsplit(self.path).path.strip("/")
        self.asked.append(name)
        patch = json_patch(request["object"], self.mutations[name](request["object"]))
        encoded = base64.b64encode(json.dumps(patch).encode()).decode()
        review["response"] = {"uid": request["uid"], "allowed": True, "patchType": "JSONPatch", "patch": encoded}
        body = json.dumps(review).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def mutating(cluster: Cluster, namespace: str, directory: Path, **mutations: Mutation) -> Iterator[list[str]]:
    """Have webhooks mutate the labelled pods of a namespace, in this order; yields the names asked for so far."""
    authority = Authority(directory)
    pair = authority.issue("webhook")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    asked: list[str] = []
    handler = type("Handler", (Webhooks,), {"mutations": mutations, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        serving = Thread(target=server.serve_forever)
        serving.start()
        try:
            bundle = base64.b64encode(authority.certificate.read_bytes()).decode()
            cluster.apply(configuration(namespace, f"https://127.0.0.1:{server.server_port}", bundle, list(mutations)))
            eventually(lambda: in_force(cluster, namespace), "the webhook mutates")
            asked.clear()
            yield asked
        finally:
            cluster.kubectl("delete", "mutatingwebhookconfiguration", namespace, "--ignore-not-found")
            server.shutdown()
            serving.join()


def configuration(namespace: str, url: str, bundle: str, paths: list[str]) -> dict[str, Any]:
    webhooks = [
        {
            "name": f"{path.replace('_', '-')}.choregos.dev",
            "clientConfig": {"url": f"{url}/{path}", "caBundle": bundle},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "objectSelector": {"matchExpressions": [{"key": "choregos.dev/service", "operator": "Exists"}]},
            "reinvocationPolicy": "IfNeeded",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
        }
        for path in paths
    ]
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration"}
    return {**kind, "metadata": {"name": namespace}, "webhooks": webhooks}


def in_force(cluster: Cluster, namespace: str) -> bool:
    return NAME in containers(created(cluster, namespace, LIMITED, "--dry-run=server"))


def created(cluster: Cluster, namespace: str, wanted: Pod, *options: str) -> Pod:
    found: Pod = json.loads(
        cluster.kubectl("create", "-f", "-", "-n", namespace, "-o", "json", *options, stdin=json.dumps(wanted))
    )
    return found


def containers(found: Pod) -> dict[str, dict[str, Any]]:
    """The containers by their names, in the order in which they start."""
    spec = found["spec"]
    listed = [*spec.get("initContainers", ()), *spec["containers"]]
    assert len({each["name"] for each in listed}) == len(listed)
    return {each["name"]: each for each in listed}


def mounts(of: dict[str, Any]) -> dict[str, str]:
    return {mount["mountPath"]: mount["name"] for mount in of.get("volumeMounts", ())}


def variables(of: dict[str, Any]) -> list[str]:
    return [each["name"] for each in of.get("env", ())]


@pytest.fixture(scope="module")
def restricted(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A namespace of the strictest pod security, in which labelled pods are injected."""
    with cluster.namespace("restricted") as name:
        cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        with mutating(cluster, name, tmp_path_factory.mktemp("restricted"), inject=ours):
            yield name


@pytest.mark.parametrize("name", PODS)
def test_a_pod_of_the_strictest_namespace_is_accepted_with_its_ambassador(
    cluster: Cluster, restricted: str, name: str
) -> None:
    found = created(cluster, restricted, PODS[name])
    sidecar = found["spec"]["initContainers"][0]
    assert (sidecar["name"], sidecar["restartPolicy"]) == (NAME, "Always")
    assert found["metadata"]["labels"]["choregos.dev/injected"] == "true"
    assert all("CHOREGOS_PUBLISH_URL" in variables(each) for key, each in containers(found).items() if key != NAME)
    wanted = {volume["name"] for volume in PODS[name]["spec"].get("volumes", ()) if "emptyDir" in volume}
    assert {volume["name"] for volume in found["spec"]["volumes"] if "emptyDir" in volume} == wanted


def test_the_pod_security_is_the_strictest_indeed(cluster: Cluster, restricted: str) -> None:
    lax = pod(container(securityContext={}))
    refusal = cluster.kubectl_fails("create", "-f", "-", "-n", restricted, stdin=json.dumps(lax))
    assert 'violates PodSecurity "restricted:latest"' in refusal
    assert NAME not in refusal


def test_the_ambassador_gets_no_token_and_the_others_keep_theirs(cluster: Cluster, restricted: str) -> None:
    found = containers(created(cluster, restricted, PODS["with another sidecar"]))
    assert mounts(found[NAME])[TOKEN] == STAND_IN
    assert not any(name.startswith("kube-api-access") for name in mounts(found[NAME]).values())
    for name in ("mesh", "migrate", "app"):
        assert mounts(found[name])[TOKEN].startswith("kube-api-access"), name


def test_with_nothing_in_its_place_the_token_would_come(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    """If this fails, Kubernetes has changed, and the mount in the token's place can go."""
    with mutating(cluster, namespace, tmp_path, inject=ours_without_a_mount_in_the_tokens_place):
        found = containers(created(cluster, namespace, pod()))
    assert mounts(found[NAME])[TOKEN].startswith("kube-api-access")


def test_what_another_webhook_adds_afterwards_is_told_where_to_publish(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    with mutating(cluster, namespace, tmp_path, inject=ours, later=late) as asked:
        found = containers(created(cluster, namespace, pod()))
        assert asked[:3] == ["inject", "later", "inject"], "asked again, once the pod was another"
    assert list(found) == ["early", NAME, "app", "late"]
    for name in ("early", "app", "late"):
        assert variables(found[name]).count("CHOREGOS_PUBLISH_URL") == 1
    assert mounts(found[NAME])[TOKEN] == STAND_IN


def test_a_copy_of_a_pod_that_runs_is_accepted_with_one_ambassador(cluster: Cluster, restricted: str) -> None:
    running = created(cluster, restricted, pod())
    copied = {**running, "metadata": {"name": "copied", "labels": running["metadata"]["labels"]}}
    del copied["status"]
    assert list(containers(created(cluster, restricted, copied))) == [NAME, "app"]


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_the_pods_that_controllers_create_have_their_ambassador(cluster: Cluster, restricted: str, kind: str) -> None:
    labels = {**LABELS, "kind": kind.lower()}
    template = {"metadata": {"labels": labels}, "spec": pod()["spec"]}
    specs: dict[str, tuple[str, dict[str, Any]]] = {
        "Deployment": ("apps/v1", {"selector": {"matchLabels": labels}, "replicas": 2, "template": template}),
        "Job": ("batch/v1", {"template": {**template, "spec": {**pod(restartPolicy="Never")["spec"]}}}),
    }
    version, spec = specs[kind]
    cluster.apply(
        {"apiVersion": version, "kind": kind, "metadata": {"name": "shop"}, "spec": spec}, namespace=restricted
    )
    wanted = spec.get("replicas", 1)
    found = eventually(
        lambda: [*pods] if len(pods := labelled(cluster, restricted, f"kind={kind.lower()}")) == wanted else [],
        f"{wanted} pods of the {kind}",
    )
    assert all(next(iter(containers(each))) == NAME for each in found)


def labelled(cluster: Cluster, namespace: str, selector: str) -> list[Pod]:
    listed: list[Pod] = cluster.get("pods", "-n", namespace, "-l", selector)["items"]
    return listed


@pytest.mark.parametrize(
    "wanted",
    [
        pod(hostNetwork=True),
        pod(securityContext={"runAsUser": 0}),
        pod(annotations={"choregos.dev/cpu-limit": "10m"}),
        pod(annotations={"choregos.dev/cpu-request": ".1", "choregos.dev/memory-request": "1e8"}),
        pod(annotations={"choregos.dev/cpu-request": "1000000u", "choregos.dev/memory-limit": "1.5Gi"}),
    ],
)
def test_what_an_unusual_pod_gets_is_valid_too(cluster: Cluster, namespace: str, wanted: Pod) -> None:
    created(cluster, namespace, ours(wanted), "--dry-run=server")


def quota(**hard: str) -> dict[str, Any]:
    names = {name.replace("_", "."): amount for name, amount in hard.items()}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "quota"}, "spec": {"hard": names}}


def test_a_namespace_with_a_quota_of_requests_takes_the_pod(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    cluster.apply(quota(requests_cpu="35m", requests_memory="80Mi"), namespace=namespace)
    counted(cluster, namespace)
    with mutating(cluster, namespace, tmp_path, inject=ours):
        created(cluster, namespace, pod())
        used = eventually(lambda: used_up(cluster, namespace), "the quota counts the ambassador's requests")
        assert used == {"requests.cpu": "35m", "requests.memory": "80Mi"}


def test_where_limits_are_counted_the_ambassador_takes_them_by_annotation_or_from_the_namespace(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    cluster.apply(quota(limits_memory="1Gi"), namespace=namespace)
    counted(cluster, namespace)
    with mutating(cluster, namespace, tmp_path, inject=ours):
        with pytest.raises(KubectlError, match=f"must specify limits.memory for: {NAME}"):
            created(cluster, namespace, pod())
        found = containers(created(cluster, namespace, LIMITED))
        assert found[NAME]["resources"]["limits"] == {"memory": "128Mi"}
        limits = [{"type": "Container", "default": {"memory": "100Mi"}, "defaultRequest": {"cpu": "5m"}}]
        spec = {"limits": limits}
        cluster.apply(
            {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "limits"}, "spec": spec},
            namespace=namespace,
        )
        resources = eventually(lambda: of_the_namespace(cluster, namespace), "the LimitRange is in force")
    assert resources == {"limits": {"memory": "100Mi"}, "requests": {"cpu": "25m", "memory": "64Mi"}}


def of_the_namespace(cluster: Cluster, namespace: str) -> dict[str, Any] | None:
    """What the ambassador of a pod without annotations gets, once it is accepted at all."""
    try:
        found = containers(created(cluster, namespace, pod()))
    except KubectlError as error:
        if "must specify limits.memory" in str(error):
            return None
        raise
    resources: dict[str, Any] = found[NAME]["resources"]
    return resources


def counted(cluster: Cluster, namespace: str) -> None:
    """Wait until the quota is in force, which is when its controller has counted."""
    eventually(lambda: "hard" in cluster.get("resourcequota", "quota", "-n", namespace).get("status", {}), "a count")


def used_up(cluster: Cluster, namespace: str) -> dict[str, str] | None:
    used: dict[str, str] = cluster.get("resourcequota", "quota", "-n", namespace)["status"]["used"]
    return None if "0" in used.values() else used
