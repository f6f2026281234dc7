"""A Kubernetes control plane of this machine's own: etcd, kube-apiserver, kube-controller-manager.

Everything listens on the loopback or on a socket in the temporary directory. Even the Services' addresses are of the
loopback, so that a webhook that is reached by its Service stays on this machine too. There is no scheduler and no
kubelet: pods are made and stay Pending.
"""

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from support import binaries
from support.audit import POLICY
from support.cluster_certificates import Authority, Pair, private_key
from support.guarded import Guarded
from support.kubectl import Kubectl
from support.waiting import eventually

HOST = "127.0.0.1"
SERVICES = "127.96.0.0/20"
_FIRST_SERVICE = "127.96.0.1"
# Sockets in the directory, where all of them run; etcd wants them to look like host and port.
_STORE, _PEERS = "unix://etcd:0", "unix://etcd-peer:0"
_PATIENCE = 60.0


class ControlPlane:
    """Starts at once; the API server can go away and come back, at the same address and with what it stored."""

    def __init__(self) -> None:
        self._etcd, self._api_server, self._controllers, kubectl = map(binaries.find, binaries.CONTROL_PLANE)
        self._guarded = Guarded("choregos-cluster-")
        self.directory = self._guarded.directory
        self._port = _ReservedPort()
        try:
            self._write_audit_policy()
            self._make_certificates()
            self.kubeconfig = self._write_kubeconfig("admin", self._authority.client("admin", ["system:masters"]))
            self._kubectl = Kubectl(kubectl, self.kubeconfig, self.directory / "kubectl-cache")
            self._start_etcd()
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
        process = self._guarded.start("kube-apiserver", self._api_server, *self._api_server_flags())
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
        self._authority = Authority(directory)
        self._serving = self._authority.server("kube-apiserver", [HOST, _FIRST_SERVICE, "localhost", "kubernetes"])
        self._accounts = directory / "service-accounts.key"
        private_key(self._accounts)

    def _write_kubeconfig(self, name: str, client: Pair) -> Path:
        file = self.directory / f"{name}.kubeconfig"
        cluster = {"server": self.url, "certificate-authority": str(self._authority.pair.certificate)}
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
        process = self._guarded.start(
            "etcd", self._etcd, "--name=test", f"--data-dir={self.directory}/etcd", "--log-level=warn",
            f"--listen-client-urls={_STORE}", f"--advertise-client-urls={_STORE}",
            f"--listen-peer-urls={_PEERS}", f"--initial-advertise-peer-urls={_PEERS}", f"--initial-cluster=test={_PEERS}",
            "--unsafe-no-fsync",
        )  # fmt: skip
        self._until_up("etcd", process, (self.directory / "etcd:0").exists)

    def _api_server_flags(self) -> list[str]:
        # Sharing is for the socket that reserves the port; nobody else listens on it.
        return [
            f"--bind-address={HOST}", f"--secure-port={self._port.number}", "--permit-port-sharing",
            f"--etcd-servers={_STORE}", f"--service-cluster-ip-range={SERVICES}",
            f"--advertise-address={HOST}", "--endpoint-reconciler-type=none",
            f"--tls-cert-file={self._serving.certificate}", f"--tls-private-key-file={self._serving.key}",
            f"--client-ca-file={self._authority.pair.certificate}", "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={self._accounts}", f"--service-account-key-file={self._accounts}",
            f"--audit-policy-file={self._audit_policy}", f"--audit-log-path={self.audit_log}",
            "--allow-privileged", "--profiling=false",
        ]  # fmt: skip

    def _start_controllers(self) -> None:
        authority, name = self._authority.pair, "system:kube-controller-manager"
        kubeconfig = self._write_kubeconfig(name, self._authority.client(name, ["system:masters"]))
        self._guarded.start(
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
