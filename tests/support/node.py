"""A Kubernetes of one node with real pods, all of which runs in namespaces that lead nowhere and leave nothing.

kube-scheduler, containerd, kubelet, kube-proxy and CoreDNS, with the control plane of `support.control_plane` beside
them. Needs root on Linux, and what `support.node_packages` installs. Images come from archives alone: see `load`.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from support import binaries, cluster_dns, kubelet, node_packages, probe_image
from support.closing import Closing
from support.cluster import Cluster
from support.containerd import Containerd
from support.control_plane import ControlPlane, Place
from support.node_volumes import volumes
from support.sandbox import ADDRESS, SERVICES, Sandbox
from support.waiting import eventually

_PATIENCE = 120.0


class Node(Closing):
    """Starts at once, and returns when pods can be scheduled; leaving the context ends it and removes every trace."""

    def __init__(self) -> None:
        node_packages.require()
        self._files = {name: binaries.find(name) for name in binaries.NODE}
        self._sandbox = Sandbox()
        self._cluster: Cluster | None = None
        try:
            self._control_plane = ControlPlane(Place(SERVICES, ADDRESS, self._sandbox.network))
            self._cluster = Cluster(self._control_plane)
            self._containerd = Containerd(self._sandbox, probe_image.PROBE)
            self._start_kubelet()
            self._start_scheduler()
            self._start_proxy()
            self._start_dns()
            self._load_probe()
            self._cluster.apply(*cluster_dns.service(), namespace="kube-system")
            self._cluster.apply(*volumes(self._sandbox.directory / "volumes"))
            self._wait()
        except BaseException:
            self.close()
            raise

    @property
    def cluster(self) -> Cluster:
        """The cluster that the node is of."""
        assert self._cluster, "the control plane did not start"
        return self._cluster

    @property
    def kubeconfig(self) -> Path:
        """Of an administrator, for use on this machine."""
        return self.cluster.kubeconfig

    @property
    def network(self) -> Path:
        """The network namespace of the node, as a file."""
        return self._sandbox.network

    @property
    def images(self) -> list[str]:
        """The names of the images that pods can have."""
        return self._containerd.images

    def pod_groups(self) -> list[Path]:
        """Return the control groups of the pods that run."""
        return self._sandbox.groups()

    def load(self, archive: Path) -> None:
        """Import the images of an archive (`docker save`, or OCI), under the names that it gives them."""
        self._containerd.load(archive)

    def run(self, *command: str | Path) -> str:
        """Run a command on the node, and return its output; raises AssertionError with its complaint."""
        return self._sandbox.run(*command)

    def log(self, name: str) -> str:
        """Return what a process of the node, such as `kubelet`, has printed so far."""
        return self._sandbox.log(name)

    def close(self) -> None:
        """End everything, pods included, and remove what they stored."""
        if self._cluster:
            self._cluster.close()
        self._sandbox.close()

    def _start_kubelet(self) -> None:
        authority = self._control_plane.authority
        serving = authority.server("kubelet", [kubelet.NAME, ADDRESS])
        config = kubelet.kubelet(self._sandbox.group, authority.pair.certificate, serving)
        kubeconfig = self._kubeconfig(f"system:node:{kubelet.NAME}", "system:nodes")
        self._start(
            "kubelet", f"--config={self._write('kubelet', config)}", f"--kubeconfig={kubeconfig}",
            f"--hostname-override={kubelet.NAME}", f"--node-ip={ADDRESS}",
        )  # fmt: skip

    def _start_scheduler(self) -> None:
        kubeconfig = self._kubeconfig("system:kube-scheduler")
        self._start("kube-scheduler", f"--kubeconfig={kubeconfig}", "--secure-port=0", "--leader-elect=false")

    def _start_proxy(self) -> None:
        config = kubelet.proxy(self._kubeconfig("system:kube-proxy"))
        self._start("kube-proxy", f"--config={self._write('kube-proxy', config)}")

    def _start_dns(self) -> None:
        corefile = self._sandbox.directory / "Corefile"
        corefile.write_text(cluster_dns.corefile(self._kubeconfig("coredns", "system:masters")))
        self._start("coredns", f"-conf={corefile}")

    def _load_probe(self) -> None:
        archive = self._sandbox.directory / "probe.tar"
        probe_image.write(archive, self._files["probe"])
        self.load(archive)

    def _start(self, name: str, *flags: str) -> None:
        self._sandbox.start(name, self._files[name], *flags)

    def _kubeconfig(self, user: str, *groups: str) -> Path:
        return self._control_plane.write_kubeconfig(user, self._control_plane.authority.client(user, groups))

    def _write(self, name: str, config: Mapping[str, Any]) -> Path:
        file = self._sandbox.directory / f"{name}.yaml"
        file.write_text(json.dumps(config))
        return file

    def _wait(self) -> None:
        try:
            eventually(self._ready, "the node is ready", _PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log('kubelet')[-4000:]}") from None

    def _ready(self) -> bool:
        """Whether pods can be scheduled, and find Services: the node is ready, nothing keeps them off, DNS answers."""
        for node in self.cluster.get("nodes")["items"]:
            ready = {condition["type"]: condition["status"] for condition in node["status"]["conditions"]}
            return ready.get("Ready") == "True" and not node["spec"].get("taints") and self._names_are_known()
        return False

    def _names_are_known(self) -> bool:
        with suppress(AssertionError):
            return self.run(self._files["probe"], "get", f"http://{cluster_dns.READY}/ready") == "OK"
        return False
