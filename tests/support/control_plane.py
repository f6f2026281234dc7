"""A Kubernetes control plane of this machine's own: etcd, kube-apiserver, kube-controller-manager.

Everything listens on the loopback or on a socket in the temporary directory. Even the Services' addresses are of the
loopback, so that a webhook that is reached by its Service stays on this machine too. There is no scheduler and no
kubelet: pods are made and stay Pending.

With a node (see `support.node`) all of it runs in the network namespace of that node, at another `Place`.
"""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from support import api_forward, binaries
from support.audit import POLICY
from support.cluster_certificates import Authority, Pair, private_key
from support.guarded import Guarded
from support.kubectl import Kubectl
from support.waiting import eventually

HOST = "127.0.0.1"
# Sockets in the directory, where all of them run; etcd wants them to look like host and port.
_STORE, _PEERS = "unix://etcd:0", "unix://etcd-peer:0"
_PATIENCE = 60.0


@dataclass(frozen=True)
class Place:
    """Where a control plane runs, and what its API server tells others."""

    services: str = "127.96.0.0/20"
    """The range of the Services' addresses."""
    address: str = HOST
    """Where pods reach the API server."""
    network: Path | None = None
    """The network namespace of its node, as a file; None for the machine's own, and no node."""

    @property
    def listens(self) -> str:
        """Where the API server listens; a node's own network is nobody else's."""
        return "0.0.0.0" if self.network else HOST

    @property
    def names(self) -> list[str]:
        """Every name and address that the API server is called by."""
        first = str(ip_network(self.services)[1])
        return [HOST, self.address, first, "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]

    def enter(self) -> list[str]:
        """Return what goes before a command that is to run there."""
        return [shutil.which("nsenter") or "nsenter", f"--net={self.network}"] if self.network else []


class ControlPlane:
    """Starts at once; the API server can go away and come back, at the same address and with what it stored."""

    def __init__(self, place: Place = Place()) -> None:
        self._place = place
        self._etcd, self._api_server, self._controllers, kubectl = map(binaries.find, binaries.CONTROL_PLANE)
        self._guarded = Guarded("choregos-cluster-")
        self.directory = self._guarded.directory
        self._port = _ReservedPort()
        try:
            self._write_audit_policy()
            self._make_certificates()
            self.kubeconfig = self.write_kubeconfig("admin", self.authority.client("admin", ["system:masters"]))
            self._kubectl = Kubectl(kubectl, self.kubeconfig, self.directory / "kubectl-cache")
            self._start_etcd()
            self._start_forward()
            self.start_api_server()
            self._start_controllers()
        except BaseException:
            self.close()
            raise

    @property
    def audit_log(self) -> Path:
        """One line of JSON for each stage of a request."""
        return self.directory / "audit.log"

    @property
    def url(self) -> str:
        """Where the API server listens."""
        return f"https://{HOST}:{self._port.number}"

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [process.pid for process in self._guarded.processes.values()]

    def start_api_server(self) -> None:
        """Start the API server, and return once it is ready; raises AssertionError with its log otherwise."""
        process = self._start("kube-apiserver", self._api_server, *self._api_server_flags(), *self._node_flags())
        self._until_up("kube-apiserver", process, self._ready)

    def stop_api_server(self) -> None:
        """End the API server as a power cut would: a polite one first waits for every watch, up to a minute."""
        self._guarded.kill("kube-apiserver")

    def log(self, name: str) -> str:
        """Return what a process, such as `kube-apiserver`, has printed so far."""
        return self._guarded.log(name)

    def close(self) -> None:
        """End all processes, and remove what they stored."""
        self._guarded.close()
        self._port.close()

    def _write_audit_policy(self) -> None:
        self._audit_policy = self.directory / "audit-policy.yaml"
        self._audit_policy.write_text(json.dumps(POLICY))

    def _make_certificates(self) -> None:
        directory = self.directory / "certificates"
        directory.mkdir()
        self.authority = Authority(directory)
        self._serving = self.authority.server("kube-apiserver", self._place.names)
        self._kubelet_client = self.authority.client("kube-apiserver-kubelet-client", ["system:masters"])
        self._accounts = directory / "service-accounts.key"
        private_key(self._accounts)

    def write_kubeconfig(self, name: str, client: Pair) -> Path:
        """Write the kubeconfig of a user, who has a certificate of this authority."""
        file = self.directory / f"{name}.kubeconfig"
        cluster = {"server": self.url, "certificate-authority": str(self.authority.pair.certificate)}
        user = {"client-certificate": str(client.certificate), "client-key": str(client.key)}
        file.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "test", "cluster": cluster}],
                    "users": [{"name": name, "user": user}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
                    "current-context": "test",
                }
            )
        )
        return file

    def _start_etcd(self) -> None:
        process = self._start(
            "etcd", self._etcd, "--name=test", f"--data-dir={self.directory}/etcd", "--log-level=warn",
            f"--listen-client-urls={_STORE}", f"--advertise-client-urls={_STORE}",
            f"--listen-peer-urls={_PEERS}", f"--initial-advertise-peer-urls={_PEERS}", f"--initial-cluster=test={_PEERS}",
            "--unsafe-no-fsync",
        )  # fmt: skip
        self._until_up("etcd", process, (self.directory / "etcd:0").exists)

    def _api_server_flags(self) -> list[str]:
        # Sharing is for the socket that reserves the port; nobody else listens on it.
        return [
            f"--bind-address={self._place.listens}", f"--secure-port={self._port.number}", "--permit-port-sharing",
            f"--etcd-servers={_STORE}", f"--service-cluster-ip-range={self._place.services}",
            f"--advertise-address={self._place.address}",
            f"--tls-cert-file={self._serving.certificate}", f"--tls-private-key-file={self._serving.key}",
            f"--client-ca-file={self.authority.pair.certificate}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={self._accounts}", f"--service-account-key-file={self._accounts}",
            f"--audit-policy-file={self._audit_policy}", f"--audit-log-path={self.audit_log}",
            "--allow-privileged", "--profiling=false",
        ]  # fmt: skip

    def _node_flags(self) -> list[str]:
        if not self._place.network:
            return ["--endpoint-reconciler-type=none", "--authorization-mode=RBAC"]
        return [
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
            f"--kubelet-client-certificate={self._kubelet_client.certificate}",
            f"--kubelet-client-key={self._kubelet_client.key}",
            f"--kubelet-certificate-authority={self.authority.pair.certificate}",
            "--kubelet-preferred-address-types=InternalIP",
        ]  # fmt: skip

    def _start_forward(self) -> None:
        if self._place.network:
            script = [sys.executable, "-I", "-S", api_forward.__file__]
            self._guarded.start("api-forward", *script, str(self._port.number), self._place.network)

    def _start(self, name: str, *command: str | Path) -> subprocess.Popen[bytes]:
        return self._guarded.start(name, *self._place.enter(), *command)

    def _start_controllers(self) -> None:
        authority, name = self.authority.pair, "system:kube-controller-manager"
        kubeconfig = self.write_kubeconfig(name, self.authority.client(name, ["system:masters"]))
        self._start(
            "kube-controller-manager", self._controllers, f"--kubeconfig={kubeconfig}", "--secure-port=0",
            "--leader-elect=false", f"--service-account-private-key-file={self._accounts}",
            f"--root-ca-file={authority.certificate}", f"--cluster-signing-cert-file={authority.certificate}",
            f"--cluster-signing-key-file={authority.key}", "--profiling=false",
        )  # fmt: skip

    def _ready(self) -> bool:
        return self._kubectl.succeeds("get", "--raw", "/readyz")

    def _until_up(self, name: str, process: subprocess.Popen[bytes], up: Callable[[], bool]) -> None:
        try:
            eventually(lambda: process.poll() is not None or up(), f"{name} is up", _PATIENCE)
            assert process.poll() is None, f"{name} ended with {process.returncode}"
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log(name)[-4000:]}") from None


class _ReservedPort:
    """A free port of the loopback that stays ours while nobody listens on it: bound, never listened on."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind((HOST, 0))
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()
