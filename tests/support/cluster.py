"""A real Kubernetes for tests: the cluster that `KUBECONFIG` names, else a control plane of this machine's own."""

import base64
import json
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support import binaries
from support.audit import Request, requests
from support.closing import Closing
from support.cluster_users import sign_in
from support.control_plane import ControlPlane
from support.kubectl import Kubectl
from support.waiting import eventually


class Cluster(Closing):
    """Starts at once, if it is ours; leaving the context ends it, or leaves the given one as it is."""

    def __init__(self, control_plane: ControlPlane | None = None) -> None:
        """Take the cluster of KUBECONFIG or start one, unless a control plane is given, which is then ours."""
        self._binary = binaries.find("kubectl")
        given = os.environ.get("KUBECONFIG")
        self._control_plane = control_plane or (None if given else ControlPlane())
        self._directory = tempfile.TemporaryDirectory(prefix="choregos-kubectl-")
        self._root = Path(self._directory.name)
        self.kubeconfig = self._root / "admin.kubeconfig"
        """Of an administrator, in one file that needs no other."""
        try:
            self._copy_kubeconfig()
        except BaseException:
            self.close()
            raise

    @property
    def owned(self) -> bool:
        """Whether the control plane was started here; only then it can be stopped, and calls webhooks on the loopback."""
        return self._control_plane is not None

    @property
    def pids(self) -> list[int]:
        """The processes of the control plane, if it is ours."""
        return self._control_plane.pids if self._control_plane else []

    @property
    def directory(self) -> Path:
        """Where the control plane stores and logs; raises RuntimeError if it is not ours."""
        return self._plane.directory

    @property
    def url(self) -> str:
        """Address of the API server."""
        return str(self._config["clusters"][0]["cluster"]["server"])

    @property
    def ca(self) -> bytes:
        """Certificate (PEM) of the authority that signed the API server's."""
        return base64.b64decode(self._config["clusters"][0]["cluster"]["certificate-authority-data"])

    def kubectl(self, *arguments: str | Path, stdin: str | bytes | None = None) -> str:
        """Run kubectl as the administrator and return its output; raises KubectlError with its complaint."""
        return self._kubectl.run(*arguments, stdin=stdin)

    def kubectl_fails(self, *arguments: str | Path, stdin: str | bytes | None = None) -> str:
        """Run kubectl, which must fail, and return its complaint; raises AssertionError if it succeeds."""
        return self._kubectl.refusal(*arguments, stdin=stdin)

    def get(self, *arguments: str | Path) -> Any:
        """Return what `kubectl get` finds, as the JSON value that the API server holds."""
        return json.loads(self.kubectl("get", *arguments, "--output=json"))

    def apply(self, *objects: Mapping[str, Any], namespace: str = "default") -> str:
        """Have kubectl apply objects; the namespace is that of those that name none."""
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        return self.kubectl("apply", "--filename=-", f"--namespace={namespace}", stdin=manifest)

    @contextmanager
    def namespace(self, prefix: str = "t") -> Iterator[str]:
        """Make a namespace that no other test knows; afterwards its deletion is begun, not waited for."""
        name = f"{prefix}-{uuid.uuid4().hex[:8]}"
        self.kubectl("create", "namespace", name)
        try:
            # A pod is refused until its namespace has this account.
            eventually(
                lambda: self._kubectl.succeeds("get", "serviceaccount", "default", f"--namespace={name}"),
                f"namespace {name} has its default service account",
            )
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")

    def user_kubeconfig(self, name: str, groups: Sequence[str] = ()) -> Path:
        """Return the kubeconfig of a user with a certificate of this cluster's own authority, and without any right.

        A group cannot be `system:masters`: Kubernetes never signs such a request.
        """
        file = self._root / f"{uuid.uuid4().hex}.kubeconfig"
        user = sign_in(self._kubectl, file.with_suffix(".key"), name, groups)
        config = self._config
        config["users"] = [{"name": config["users"][0]["name"], "user": user}]
        _write_secret(file, json.dumps(config))
        return file

    def kubectl_as(self, kubeconfig: Path) -> Kubectl:
        """Return kubectl for a user of `user_kubeconfig`."""
        return Kubectl(self._binary, kubeconfig, kubeconfig.with_suffix(".cache"))

    def stop_api_server(self) -> None:
        """End the API server as a power cut would; raises RuntimeError if the cluster is not ours."""
        self._plane.stop_api_server()

    def start_api_server(self) -> None:
        """Start it again, at the same address, and return once it is ready."""
        self._plane.start_api_server()

    def restart_api_server(self) -> None:
        """Stop the API server and start it again; raises RuntimeError if the cluster is not ours."""
        self.stop_api_server()
        self.start_api_server()

    def requests(self, user: str) -> list[Request]:
        """Return what a user has asked of the API server so far; raises RuntimeError if the cluster is not ours."""
        return requests(self._plane.audit_log, user)

    def log(self, name: str) -> str:
        """Return what a process, such as `kube-apiserver`, has printed; raises RuntimeError if it is not ours."""
        return self._plane.log(name)

    def close(self) -> None:
        """End all processes of the control plane, if it is ours, and remove what they stored."""
        if self._control_plane:
            self._control_plane.close()
        self._directory.cleanup()

    @property
    def _plane(self) -> ControlPlane:
        if self._control_plane is None:
            raise RuntimeError(
                f"the cluster is the one of KUBECONFIG={os.environ.get('KUBECONFIG')}: tests neither stop it nor read its"
                " logs. Unset KUBECONFIG to have a control plane of the tests' own"
            )
        return self._control_plane

    @property
    def _config(self) -> Any:
        return json.loads(self.kubeconfig.read_text())

    @property
    def _kubectl(self) -> Kubectl:
        return self.kubectl_as(self.kubeconfig)

    def _copy_kubeconfig(self) -> None:
        ours = self._control_plane.kubeconfig if self._control_plane else None
        source = Kubectl(self._binary, ours, self._root / "cache")
        _write_secret(self.kubeconfig, source.run("config", "view", "--raw", "--flatten", "--minify", "--output=json"))


def _write_secret(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)
