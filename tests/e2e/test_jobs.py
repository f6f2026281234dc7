"""Pods that end by themselves: a Job's ambassador is there for its first event, and does not outlive its last one."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.cluster import Cluster
from support.helm import Installed
from support.probe_pods import pod
from support.waiting import eventually

IMAGE = "localhost/debian-python:12"
CHOREOGRAPHY = {
    "apiVersion": "choregos.dev/v1alpha1",
    "kind": "Choreography",
    "metadata": {"name": "import"},
    "spec": {
        "events": {"RowsImported": {}, "RowsCounted": {"outcome": "completed"}},
        "services": {
            "importer": {"emits": ["RowsImported"]},
            "ledger": {
                "port": 8080,
                "reactions": [
                    {"event": "RowsImported", "path": "/", "emits": ["RowsCounted"], "onSuccess": "RowsCounted"}
                ],
            },
        },
    },
}
LEDGER = """
import http.server

class Ledger(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print("counted", self.rfile.read(int(self.headers["Content-Length"])).decode(), flush=True)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b"{}")

http.server.HTTPServer(("", 8080), Ledger).serve_forever()
"""
PUBLISH = """
import os, urllib.request

def publish(rows):
    url = os.environ["CHOREGOS_PUBLISH_URL"] + "/events/RowsImported"
    body = ('{"rows": "%s"}' % rows).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    assert urllib.request.urlopen(request, timeout=30).status == 201
"""
"""It asks once: with the choreography applied before, the first request of a pod's first container is answered."""
TWICE_IN_VAIN = """
import pathlib, sys
attempts = pathlib.Path("/attempts/made")
made = int(attempts.read_text()) if attempts.exists() else 0
attempts.write_text(str(made + 1))
publish("attempt-%d" % made)
sys.exit(made < 2)
"""


@pytest.fixture(scope="module")
def imports(release: Installed, cluster: Cluster) -> Iterator[str]:
    """The namespace of a choreography in which Jobs publish, and a service listens."""
    with cluster.namespace("imports") as namespace:
        cluster.apply(CHOREOGRAPHY, namespace=namespace)
        ready(cluster, namespace)
        ledger = pod("ledger", python(LEDGER))
        ledger["metadata"]["labels"]["choregos.dev/service"] = "ledger"
        cluster.apply(ledger, namespace=namespace)
        cluster.kubectl("wait", "--for=condition=Ready", "pod/ledger", f"--namespace={namespace}", "--timeout=55s")
        yield namespace


def test_a_job_publishes_at_its_first_try_and_completes(cluster: Cluster, imports: str) -> None:
    cluster.apply(job("once", PUBLISH + "publish('once')"), namespace=imports)
    ended(cluster, imports, "once", "Complete")
    arrived(cluster, imports, "once")


def test_a_job_whose_container_fails_is_tried_again_beside_the_same_ambassador(cluster: Cluster, imports: str) -> None:
    tried = job("tried", PUBLISH + TWICE_IN_VAIN, restartPolicy="OnFailure")
    tried["spec"]["template"]["spec"]["volumes"] = [{"name": "attempts", "emptyDir": {}}]
    (container,) = tried["spec"]["template"]["spec"]["containers"]
    container["volumeMounts"] = [{"name": "attempts", "mountPath": "/attempts"}]
    cluster.apply(tried, namespace=imports)
    ended(cluster, imports, "tried", "Complete", patience=90)
    arrived(cluster, imports, "attempt-0", "attempt-1", "attempt-2")
    (only,) = pods_of(cluster, imports, "tried")
    restarts = [each["restartCount"] for each in only["status"]["initContainerStatuses"]]
    assert restarts == [0]


def test_a_job_that_fails_for_good_ends_with_each_of_its_pods(cluster: Cluster, imports: str) -> None:
    cluster.apply(job("vain", PUBLISH + "publish('vain'); raise SystemExit(1)", backoffLimit=1), namespace=imports)
    ended(cluster, imports, "vain", "Failed", patience=90)
    assert [each["status"]["phase"] for each in pods_of(cluster, imports, "vain")] == ["Failed", "Failed"]
    arrived(cluster, imports, "vain", "vain")


def test_the_jobs_of_a_cron_job_complete_by_hand_and_by_the_clock(cluster: Cluster, imports: str) -> None:
    template = job("any", PUBLISH + "publish('cron')")["spec"]
    spec = {"schedule": "* * * * *", "concurrencyPolicy": "Forbid", "jobTemplate": {"spec": template}}
    cron = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"}, "spec": spec}
    cluster.apply(cron, namespace=imports)
    cluster.kubectl("create", "job", "by-hand", "--from=cronjob/nightly", f"--namespace={imports}")
    ended(cluster, imports, "by-hand", "Complete")
    eventually(lambda: by_the_clock(cluster, imports), "a Job of the clock completes", 120)
    arrived(cluster, imports, "cron", "cron")


def test_no_pod_that_has_ended_is_waited_for(cluster: Cluster, imports: str) -> None:
    cluster.apply(job("any", PUBLISH + "publish('any')"), namespace=imports)
    ended(cluster, imports, "any", "Complete")
    ready(cluster, imports)


def python(program: str) -> dict[str, Any]:
    return {"name": "app", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["python3", "-c", program]}


def job(name: str, program: str, restartPolicy: str = "Never", **spec: Any) -> dict[str, Any]:  # noqa: N803
    """Return a Job of the service `importer`."""
    template = pod(name, python(program), restartPolicy=restartPolicy)
    labels = {"choregos.dev/service": "importer"}
    of = {"metadata": {"labels": labels}, "spec": template["spec"]}
    spec = {"backoffLimit": 5, **spec, "template": of}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def ready(cluster: Cluster, namespace: str) -> None:
    """Wait until the choreography is ready, and finds fault with nobody."""
    for condition in ("Ready", "AmbassadorsCurrent"):
        said = f"--for=condition={condition}"
        cluster.kubectl("wait", said, "choreography/import", f"--namespace={namespace}", "--timeout=55s")


def ended(cluster: Cluster, namespace: str, name: str, how: str, patience: float = 60.0) -> None:
    """Wait until a Job has ended, and all its pods with it."""

    def over() -> bool:
        status = cluster.get("job", name, f"--namespace={namespace}").get("status", {})
        return how in [each["type"] for each in status.get("conditions", ()) if each["status"] == "True"]

    eventually(over, f"the Job {name} is {how}", patience)


def by_the_clock(cluster: Cluster, namespace: str) -> bool:
    """Whether a Job has completed that the CronJob has made itself."""
    jobs = cluster.get("jobs", f"--namespace={namespace}")["items"]
    made = [each for each in jobs if each["metadata"]["name"].startswith("nightly-")]
    return any(each.get("status", {}).get("succeeded") for each in made)


def arrived(cluster: Cluster, namespace: str, *rows: str) -> None:
    """Wait until the ledger has counted these, as often as they stand here and not once more."""
    wanted = [f"counted {json.dumps({'rows': row})}" for row in rows]

    def counted() -> list[str]:
        lines = cluster.kubectl("logs", "ledger", "-c", "app", f"--namespace={namespace}").splitlines()
        return [line for line in lines if line in wanted]

    eventually(lambda: len(counted()) >= len(wanted), f"{wanted} arrive")
    assert sorted(counted()) == sorted(wanted)


def pods_of(cluster: Cluster, namespace: str, name: str) -> list[dict[str, Any]]:
    """Return the pods of a Job."""
    return list(cluster.get("pods", f"--namespace={namespace}", "-l", f"job-name={name}")["items"])
