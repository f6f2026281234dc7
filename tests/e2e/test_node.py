"""The node that all other tests of this folder trust: pods run on it as on any other, and reach nobody outside."""

import subprocess
from contextlib import ExitStack
from typing import Any
from urllib.request import urlopen

import pytest

from support import binaries
from support.cluster import Cluster
from support.kubectl import KubectlError
from support.node import Node
from support.probe_pods import container, pod, service, serving, sidecar
from support.sandbox import BRIDGE
from support.waiting import eventually

JOB = {"apiVersion": "batch/v1", "kind": "Job"}


def ready(cluster: Cluster, namespace: str, *names: str) -> None:
    for name in names:
        cluster.kubectl("wait", "--for=condition=Ready", f"pod/{name}", f"--namespace={namespace}", "--timeout=50s")


def test_a_pod_of_two_containers_and_a_native_sidecar_becomes_ready(cluster: Cluster, namespace: str) -> None:
    two = serving("web", 8080, "hello"), container("idle", "pause")
    cluster.apply(pod("shop", *two, initContainers=[sidecar("beside", 8081, "beside")]), namespace=namespace)
    ready(cluster, namespace, "shop")
    status = cluster.get("pod/shop", f"--namespace={namespace}")["status"]
    every = status["containerStatuses"] + status["initContainerStatuses"]
    assert sorted((each["name"], each["ready"], each["restartCount"]) for each in every) == [
        ("beside", True, 0), ("idle", True, 0), ("web", True, 0)
    ]  # fmt: skip


def test_a_job_starts_after_its_native_sidecar_and_completes_beside_it(cluster: Cluster, namespace: str) -> None:
    # Nothing is tried twice: the request succeeds because the sidecar answers before the container starts.
    template = pod(
        "once", container("app", "get", "http://localhost:8081"), restartPolicy="Never",
        initContainers=[sidecar("beside", 8081, "I was here first")],
    )  # fmt: skip
    spec = {"backoffLimit": 0, "template": {"metadata": template["metadata"], "spec": template["spec"]}}
    cluster.apply({**JOB, "metadata": {"name": "once"}, "spec": spec}, namespace=namespace)
    cluster.kubectl("wait", "--for=condition=Complete", "job/once", f"--namespace={namespace}", "--timeout=50s")
    assert cluster.kubectl("logs", "job/once", "--container=app", f"--namespace={namespace}") == "I was here first\n"


def test_pods_find_services_by_name_and_reach_them(cluster: Cluster, namespace: str) -> None:
    headless = service("each", "web", 80, 8080, clusterIP="None")
    cluster.apply(
        pod("web", serving("web", 8080, "hello")), pod("client", container("client", "pause")),
        service("shop", "web", 80, 8080), headless, namespace=namespace,
    )  # fmt: skip
    ready(cluster, namespace, "web", "client")
    address = cluster.get("service/shop", f"--namespace={namespace}")["spec"]["clusterIP"]
    for name in ("shop", f"shop.{namespace}", f"shop.{namespace}.svc.cluster.local"):
        assert in_pod(cluster, namespace, "client", "lookup", name).split() == [address]
    pod_address = cluster.get("pod/web", f"--namespace={namespace}")["status"]["podIP"]
    eventually(lambda: in_pod(cluster, namespace, "client", "lookup", "each").split() == [pod_address], "headless name")
    # From another pod, and from the very pod that answers.
    for client in ("client", "web"):
        assert in_pod(cluster, namespace, client, "get", f"http://shop.{namespace}") == "hello\n"


def test_the_api_server_is_found_by_its_name_with_the_token_of_the_pod(cluster: Cluster, namespace: str) -> None:
    cluster.apply(pod("client", container("client", "pause")), namespace=namespace)
    ready(cluster, namespace, "client")
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    said = in_pod(cluster, namespace, "client", "api", account, "https://kubernetes.default.svc/api/v1/nodes")
    assert f"system:serviceaccount:{namespace}:default" in said
    assert 'cannot list resource \\"nodes\\"' in said


def test_logs_and_port_forward_work_from_the_machine(cluster: Cluster, namespace: str) -> None:
    cluster.apply(pod("web", serving("web", 8080, "hello")), namespace=namespace)
    ready(cluster, namespace, "web")
    with ExitStack() as stack:
        command = [str(binaries.find("kubectl")), f"--kubeconfig={cluster.kubeconfig}", f"--namespace={namespace}"]
        forward = stack.enter_context(
            subprocess.Popen([*command, "port-forward", "pod/web", ":8080"], stdout=subprocess.PIPE, text=True)
        )
        stack.callback(forward.terminate)
        assert forward.stdout
        port = forward.stdout.readline().split(" -> ")[0].rpartition(":")[2]
        with urlopen(f"http://127.0.0.1:{port}/through-the-forward") as answer:
            assert answer.read() == b"hello\n"
    assert "GET /through-the-forward" in cluster.kubectl("logs", "web", f"--namespace={namespace}")


def test_the_api_server_reaches_a_webhook_by_its_service(cluster: Cluster, namespace: str) -> None:
    # It speaks no TLS, which is how the refusal tells that the very pod was reached.
    cluster.apply(pod("web", serving("web", 8080, "hello")), service("hook", "web", 443, 8080), namespace=namespace)
    ready(cluster, namespace, "web")
    cluster.apply(webhook(namespace))
    try:
        eventually(lambda: "server gave HTTP response to HTTPS client" in refusal(cluster, namespace), "webhook called")
    finally:
        cluster.kubectl("delete", "validatingwebhookconfiguration", namespace)


def test_the_volume_of_a_stateful_set_outlives_its_pod_and_belongs_to_its_group(
    cluster: Cluster, namespace: str
) -> None:
    cluster.apply(stateful_set(), namespace=namespace)
    cluster.kubectl("rollout", "status", "statefulset/kept", f"--namespace={namespace}", "--timeout=50s")
    in_pod(cluster, namespace, "kept-0", "write", "/data/file", "kept")
    cluster.kubectl("delete", "pod/kept-0", f"--namespace={namespace}")
    cluster.kubectl("rollout", "status", "statefulset/kept", f"--namespace={namespace}", "--timeout=50s")
    ready(cluster, namespace, "kept-0")
    assert in_pod(cluster, namespace, "kept-0", "cat", "/data/file") == "kept"


def test_no_packet_finds_a_way_out(node: Node, cluster: Cluster, namespace: str) -> None:
    cluster.apply(pod("client", container("client", "pause")), namespace=namespace)
    ready(cluster, namespace, "client")
    routes = in_pod(cluster, namespace, "client", "cat", "/proc/net/route").splitlines()[1:]
    # Destination and mask, least significant byte first: pods, Services, and nothing else.
    assert sorted((route.split()[1], route.split()[7]) for route in routes) == [
        ("0000600A", "00F0FFFF"), ("0000F40A", "00FFFFFF")
    ]  # fmt: skip
    assert "default" not in node.run("ip", "route", "show", "table", "all")
    links = {line.split(": ")[1].partition("@")[0] for line in node.run("ip", "-oneline", "link").splitlines()}
    assert {link for link in links if not link.startswith("veth")} <= {"lo", BRIDGE, "ifb0", "ifb1", "tunl0", "sit0"}
    with pytest.raises(KubectlError, match="no such host"):
        in_pod(cluster, namespace, "client", "lookup", "choregos.example")


def in_pod(cluster: Cluster, namespace: str, name: str, *arguments: str) -> str:
    return cluster.kubectl("exec", name, f"--namespace={namespace}", "--", "/probe", *arguments)


def refusal(cluster: Cluster, namespace: str) -> str:
    try:
        cluster.kubectl("create", "configmap", "any", "--dry-run=server", f"--namespace={namespace}")
    except KubectlError as error:
        return str(error)
    return ""


def webhook(namespace: str) -> dict[str, Any]:
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    hook = {
        "name": "hook.choregos.dev",
        "clientConfig": {"service": {"name": "hook", "namespace": namespace}},
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail",
        "timeoutSeconds": 5,
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [hook],
    }


def stateful_set() -> dict[str, Any]:
    app = container("app", "pause", volumeMounts=[{"name": "data", "mountPath": "/data"}])
    template = pod("kept", app, securityContext={"fsGroup": 65532})
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "kept"},
        "spec": {
            "serviceName": "kept",
            "selector": {"matchLabels": {"app": "kept"}},
            "template": {"metadata": {"labels": {"app": "kept"}}, "spec": template["spec"]},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
        },
    }
