"""However a test with a cluster ends, its processes and networks end with it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from support.nats_cluster import NatsCluster
from support.traces import Traces
from support.waiting import eventually

_RUN = """
import time
from support.nats_cluster import NatsCluster
cluster = NatsCluster()
print(*[node.pid for node in cluster.nodes], flush=True)
time.sleep(600)
"""


def test_a_cluster_that_is_closed_leaves_nothing_and_lets_us_out() -> None:
    before, network = Traces.now(), Path("/proc/thread-self/ns/net").readlink()
    with NatsCluster() as cluster:
        assert Path("/proc/thread-self/ns/net").readlink() != network
        pids = [node.pid for node in cluster.nodes]
    assert Path("/proc/thread-self/ns/net").readlink() == network
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert Traces.now() == before


def test_a_cluster_whose_test_is_killed_leaves_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", _RUN], stdout=subprocess.PIPE, env=environment, text=True) as run:
        assert run.stdout
        pids = run.stdout.readline().split()
        assert len(pids) == 3
        run.send_signal(signal.SIGKILL)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the nodes have ended")
    eventually(lambda: not list(tmp_path.iterdir()), "their directory is gone")
