"""The control plane that all other tests of this folder trust: it is a real Kubernetes, and leaves nothing behind."""

import base64
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from support import binaries
from support.audit import Request
from support.cluster import Cluster
from support.cluster_certificates import Authority, Pair
from support.kubectl import Kubectl, KubectlError
from support.up_process import Marked
from support.waiting import eventually

SERVICE_ADDRESS = "127.96.15.1"
own = pytest.mark.usefixtures("own_cluster")


def test_the_version_is_one_with_native_sidecars_and_cel(cluster: Cluster) -> None:
    version = json.loads(cluster.kubectl("version", "--output=json"))["serverVersion"]
    assert (int(version["major"]), int(version["minor"].rstrip("+"))) >= (1, 33)


def test_a_deployment_gets_its_pods_and_they_have_a_service_account(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "deployment", "shop", "--image=shop", "--replicas=2", "-n", namespace)
    eventually(lambda: len(cluster.get("pods", "-n", namespace)["items"]) == 2, "two pods")
    pod = cluster.get("pods", "-n", namespace)["items"][0]
    assert pod["spec"]["serviceAccountName"] == "default"
    assert [volume for volume in pod["spec"]["volumes"] if "projected" in volume]


def test_a_namespace_that_is_deleted_goes_away_with_all_that_it_holds(cluster: Cluster) -> None:
    with cluster.namespace() as name:
        cluster.kubectl("create", "configmap", "held", "-n", name)
    cluster.kubectl("wait", "--for=delete", f"namespace/{name}", "--timeout=60s")
    assert "NotFound" in cluster.kubectl_fails("get", "namespace", name)


def test_what_is_owned_goes_away_with_its_owner(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "configmap", "owner", "-n", namespace)
    uid = cluster.get("configmap", "owner", "-n", namespace)["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    metadata = {"name": "owned", "ownerReferences": [owner]}
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}, namespace=namespace)
    cluster.kubectl("delete", "configmap", "owner", "-n", namespace)
    cluster.kubectl("wait", "--for=delete", "configmap/owned", "-n", namespace, "--timeout=60s")


def test_a_user_may_do_what_a_role_says_and_nothing_else(cluster: Cluster, namespace: str) -> None:
    eve = cluster.kubectl_as(cluster.user_kubeconfig("eve", ["auditors"]))
    assert 'User "eve" cannot list resource "pods"' in eve.refusal("get", "pods", "-n", namespace)
    cluster.kubectl("create", "rolebinding", "auditors", "--clusterrole=view", "--group=auditors", "-n", namespace)
    eventually(lambda: eve.succeeds("get", "pods", "-n", namespace), "eve may list pods")
    assert 'User "eve" cannot delete resource "pods"' in eve.refusal("delete", "pod", "any", "-n", namespace)


def test_a_cluster_that_kubeconfig_names_is_used_as_it_is(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    with Cluster() as given:
        assert (given.url, given.ca, given.owned, given.pids) == (cluster.url, cluster.ca, False, [])
        given.kubectl("get", "namespace", namespace)
        with pytest.raises(RuntimeError, match="Unset KUBECONFIG"):
            given.restart_api_server()
    cluster.kubectl("get", "namespace", namespace)


@own
def test_on_a_cluster_that_kubeconfig_names_nothing_is_stopped_or_taken_away(cluster: Cluster) -> None:
    """Such as its definitions: with them would go every choreography that somebody has there."""
    chosen = "api_server_was_away or server_that_was_away or is_not_there_yet or definitions_were_away or on_record"
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, str(Path(__file__).parent))
    outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**outer, "KUBECONFIG": str(cluster.kubeconfig)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    (summary,) = [line for line in run.stdout.splitlines() if "deselected" in line]
    assert "skipped" in summary
    assert not {"passed", "failed", "error"} & set(re.findall(r"[a-z]+", summary)), run.stdout


def test_kubectl_knows_nothing_of_the_configuration_that_the_environment_names(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "another"))
    assert (
        cluster.kubectl("config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}") == cluster.url
    )


def test_what_kubectl_complains_of_is_in_the_error(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(KubectlError, match='configmaps "none" not found'):
        cluster.kubectl("get", "configmap", "none", "-n", namespace)
    with pytest.raises(AssertionError, match="succeeded"):
        cluster.kubectl_fails("get", "configmaps", "-n", namespace)


@own
def test_the_api_server_comes_back_at_its_address_with_its_data(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("create", "configmap", "kept", "--from-literal=a=b", "-n", namespace)
    url = cluster.url
    cluster.stop_api_server()
    assert "refused" in cluster.kubectl_fails("get", "configmaps", "-n", namespace)
    cluster.start_api_server()
    assert cluster.url == url
    assert cluster.get("configmap", "kept", "-n", namespace)["data"] == {"a": "b"}
    # The controllers, who stayed, take up their work.
    cluster.kubectl("create", "deployment", "later", "--image=shop", "-n", namespace)
    eventually(lambda: cluster.get("pods", "-n", namespace)["items"], "a pod")


@own
def test_what_a_user_asked_for_is_on_record(cluster: Cluster, namespace: str) -> None:
    eve = cluster.kubectl_as(cluster.user_kubeconfig("eve-on-record"))
    eve.refusal("delete", "deployment", "shop", "-n", namespace)
    assert Request("delete", "apps", "deployments", namespace, "shop", 403) in cluster.requests("eve-on-record")
    assert not cluster.requests("nobody")


@own
def test_all_of_it_listens_on_the_loopback(cluster: Cluster) -> None:
    sockets = {str(file.readlink()) for pid in cluster.pids for file in Path(f"/proc/{pid}/fd").iterdir()}
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, address, _, state, *_, inode = line.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in sockets:
                listening.append(address.split(":")[0])
    assert listening == ["0100007F"]


@own
def test_a_webhook_is_reached_by_its_service_without_leaving_the_machine(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    with refusing_server(authority.server("hook", [f"hook.{namespace}.svc"])) as port:
        service = {"clusterIP": SERVICE_ADDRESS, "ports": [{"port": port}]}
        cluster.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"}, "spec": service}, namespace=namespace
        )
        bundle = base64.b64encode(authority.pair.certificate.read_bytes()).decode()
        cluster.apply(asks_about_configmaps(namespace, port, bundle))
        try:
            eventually(
                lambda: not_now(cluster.kubectl_as(cluster.kubeconfig), namespace), "the webhook is asked, and refuses"
            )
        finally:
            cluster.kubectl("delete", "validatingwebhookconfiguration", namespace)


@own
def test_close_ends_every_process_and_removes_the_directory() -> None:
    with Cluster() as second:
        pids, directory = second.pids, second.directory
        assert len(pids) == 3
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not directory.exists()


@own
def test_a_run_that_is_killed_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import time; from support.cluster import Cluster; Cluster(); print('up', flush=True); time.sleep(600)"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    run = Marked([sys.executable, "-c", script], stdout=subprocess.PIPE)
    try:
        assert run.process.stdout
        with run.process.stdout as said:
            assert said.readline() == "up\n"
        # A process is Python, which puts it on the guard's list, before it is what it is called.
        running = set(binaries.CONTROL_PLANE) - {"kubectl"}
        eventually(lambda: {Path(line.split()[0]).name for line in run.left().values()} >= running, "all three run")
        run.signal(signal.SIGKILL)
        run.ends()
        run.leaves_nothing()
        assert not list(tmp_path.glob("choregos-cluster-*"))
    finally:
        run.close()


class Refusing(BaseHTTPRequestHandler):
    """Answers each admission review with a refusal."""

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = {"message": "not now, says the webhook"}
        review["response"] = {"uid": review.pop("request")["uid"], "allowed": False, "status": status}
        body = json.dumps(review).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def refusing_server(pair: Pair) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with ThreadingHTTPServer((SERVICE_ADDRESS, 0), Refusing) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        serving = Thread(target=server.serve_forever)
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


def asks_about_configmaps(namespace: str, port: int, bundle: str) -> dict[str, Any]:
    service = {"name": "hook", "namespace": namespace, "port": port, "path": "/"}
    webhook = {
        "name": "hook.choregos.dev",
        "clientConfig": {"service": service, "caBundle": bundle},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [webhook],
    }


def not_now(admin: Kubectl, namespace: str) -> bool:
    try:
        admin.run("create", "configmap", uuid.uuid4().hex, "-n", namespace)
    except KubectlError as error:
        if "not now, says the webhook" in str(error):
            return True
        raise
    return False
