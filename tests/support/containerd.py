"""containerd of the test node: its own root, state and socket, and a bridge for the pods that leads nowhere else."""

import json
from contextlib import suppress
from pathlib import Path

from support.sandbox import ADDRESS, BRIDGE, PODS, SERVICES, Sandbox, tool
from support.waiting import eventually

SOCKET = Path("/run/containerd/containerd.sock")
"""Seen by what runs in the sandbox, which has a /run of its own."""
_PLUGINS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))

_CONFIG = """
version = 2
root = "{directory}/root"
state = "/run/containerd/state"
disabled_plugins = [
  "io.containerd.internal.v1.tracing", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{socket}"
[ttrpc]
  address = "{socket}.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{directory}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE nobody may make a process less likely to be killed for memory, as the pause container is.
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{networks}"
"""


class Containerd:
    """Starts at once, and returns when it answers."""

    def __init__(self, sandbox: Sandbox, pause: str) -> None:
        self._sandbox = sandbox
        self._directory = sandbox.directory / "containerd"
        networks = self._directory / "networks"
        networks.mkdir(parents=True)
        (networks / "10-pods.conflist").write_text(json.dumps(_network(self._directory)))
        config = self._directory / "config.toml"
        config.write_text(
            _CONFIG.format(directory=self._directory, socket=SOCKET, pause=pause, networks=networks, plugins=plugins())
        )
        process = sandbox.start("containerd", tool("containerd"), "--config", config)
        eventually(lambda: process.poll() is not None or self._answers(), "containerd answers")
        assert process.poll() is None, f"containerd ended\n{sandbox.log('containerd')[-4000:]}"

    def load(self, archive: Path) -> None:
        """Import the images of an archive (of docker, or OCI with names), under the names that it holds."""
        self._ctr("images", "import", "--digests=false", str(archive))

    @property
    def images(self) -> list[str]:
        """The names of all images."""
        return self._ctr("images", "list", "--quiet").split()

    def _answers(self) -> bool:
        with suppress(AssertionError):
            return bool(self._ctr("version"))
        return False

    def _ctr(self, *arguments: str) -> str:
        return self._sandbox.run(tool("ctr"), f"--address={SOCKET}", "--namespace=k8s.io", *arguments)


def plugins() -> Path:
    """Return where the machine's network plugins are; the first of the usual places if nowhere."""
    return next((directory for directory in _PLUGINS if (directory / "bridge").exists()), _PLUGINS[0])


def _network(directory: Path) -> object:
    # No default route: a pod knows the way to other pods, to the node and to Services, and to nobody else.
    addresses = {
        "type": "host-local",
        "dataDir": str(directory / "addresses"),
        "routes": [{"dst": SERVICES}],
        "ranges": [[{"subnet": PODS, "rangeStart": f"{ADDRESS.rpartition('.')[0]}.10", "gateway": ADDRESS}]],
    }
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipMasq": False, "hairpinMode": True}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [{**bridge, "ipam": addresses}]}
