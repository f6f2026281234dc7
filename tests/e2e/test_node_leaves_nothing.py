"""However a node ends, the machine is as it was before."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from support.node import Node
from support.probe_pods import container, pod
from support.sandbox import Sandbox
from support.traces import Traces, processes_in
from support.waiting import eventually

_RUN = """
import time
from support.node import Node
node = Node()
print(node.network.readlink(), flush=True)
time.sleep(600)
"""


def test_a_node_that_is_closed_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = Traces.now()
    with Node() as node:
        network = str(node.network.readlink())
        volume = {"name": "memory", "emptyDir": {"medium": "Memory"}}
        mounted = container("app", "pause", volumeMounts=[{"name": "memory", "mountPath": "/memory"}])
        node.cluster.apply(pod("app", mounted, volumes=[volume]))
        node.cluster.kubectl("wait", "--for=condition=Ready", "pod/app", "--timeout=50s")
        running = processes_in(network)
        assert any("kubelet" in command for command in running)
        assert node.pod_groups()
    assert processes_in(network) == []
    assert Traces.now() == before
    assert not list(tmp_path.iterdir())


def test_a_node_whose_test_is_killed_leaves_control_groups_at_most_until_the_next_one_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Traces.now()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", _RUN], stdout=subprocess.PIPE, env=environment, text=True) as run:
        assert run.stdout
        network = run.stdout.readline().strip()
        assert any("kubelet" in command for command in processes_in(network))
        run.send_signal(signal.SIGKILL)
    eventually(lambda: not processes_in(network), "all processes of the node have ended")
    # The directory of kubectl's cache is the test's own, which nobody is left to remove.
    eventually(lambda: {file.name[:16] for file in tmp_path.iterdir()} <= {"choregos-kubectl"}, "directories removed")
    Sandbox().close()
    assert Traces.now() == before
