"""A release that goes: what runs goes on, what is deleted is gone, and whoever installs again finds what there was.

NATS is the user's own here, as it has to be where events are to outlive a release.
"""

import json
from collections.abc import Iterator
from functools import partial

import pytest

from support import images, node_release
from support.cluster import Cluster
from support.customers import more_accepted
from support.helm import OUTSIDE, Installed
from support.node import Node
from support.probe_pods import container, pod, service
from support.shipping import Shipping
from support.waiting import eventually

DELETING = 60.0
"""Seconds in which a deletion has to be done, the grace of the pods included."""
NATS = "nats"
"""Namespace and Service of NATS, as `OUTSIDE` has it."""
WEBHOOKS = "mutatingwebhookconfigurations,validatingwebhookconfigurations"


@pytest.fixture(scope="module")
def own_node() -> Iterator[Node]:
    """A node of its own: what is installed here goes."""
    with Node() as running:
        yield running


@pytest.fixture(scope="module")
def own_release(own_node: Node) -> Installed:
    release = node_release.install(own_node, OUTSIDE)
    start_nats(own_node.cluster)
    return release


@pytest.fixture(scope="module")
def own_shipping(own_node: Node, own_release: Installed) -> Shipping:
    found = Shipping(own_node, (NATS, NATS))
    own_node.cluster.kubectl("create", "namespace", found.namespace)
    found.apply()
    return found


def test_a_release_goes_without_a_trace_in_what_runs_and_comes_again(
    own_release: Installed, own_shipping: Shipping
) -> None:
    cluster, positions = own_release.cluster, own_shipping.positions()
    with own_shipping.customers() as asking:
        more_accepted(asking, 20)
        own_release.uninstall()
        eventually(lambda: not node_release.pods(own_release), "the operator is gone", DELETING)
        more_accepted(asking, 40)
    assert asking.refusals == []
    own_shipping.settled(asking.accepted.values())

    assert cluster.get(WEBHOOKS)["items"] == []
    nobody_refuses(own_shipping)
    gone_within(cluster, "choreography", "drone-delivery", own_shipping.namespace)
    gone_within(cluster, "namespace", own_shipping.namespace)
    gone_within(cluster, "namespace", own_release.namespace)
    assert len(cluster.get("crd")["items"]) == 2

    from_outside = own_shipping.requests_from_outside(5)
    own_release.install(OUTSIDE)
    node_release.ready(own_release)
    cluster.kubectl("create", "namespace", own_shipping.namespace)
    own_shipping.apply()
    own_shipping.settled([*asking.accepted.values(), *from_outside])
    assert own_shipping.positions() == positions


def start_nats(cluster: Cluster) -> None:
    """Start a NATS with JetStream, and return when it answers."""
    cluster.kubectl("create", "namespace", NATS)
    server = container("nats", "-js", "-sd", "/data", volumeMounts=[{"name": "data", "mountPath": "/data"}])
    server |= {"image": images.image("nats").name, "readinessProbe": {"tcpSocket": {"port": 4222}, "periodSeconds": 1}}
    cluster.apply(
        pod(NATS, server, volumes=[{"name": "data", "emptyDir": {}}]), service(NATS, NATS, 4222, 4222), namespace=NATS
    )
    cluster.kubectl("wait", "--for=condition=Ready", f"pod/{NATS}", f"--namespace={NATS}", "--timeout=50s")


def nobody_refuses(shipping: Shipping) -> None:
    """Have a labelled pod made, and the choreography edited; raises KubectlError if something of ours stands in the way."""
    labelled = pod("plain", container("app", "pause"))
    labelled["metadata"]["labels"] = {"choregos.dev/service": "delivery"}
    shipping.kubectl("create", "--dry-run=server", "--filename=-", stdin=json.dumps(labelled))
    shipping.kubectl("annotate", "choreography", "drone-delivery", "example.com/note=edited")


def gone_within(cluster: Cluster, kind: str, name: str, namespace: str = "default") -> None:
    """Delete an object, which has to be gone soon."""
    cluster.kubectl("delete", kind, name, f"--namespace={namespace}", "--wait=false")
    eventually(partial(is_gone, cluster, kind, name, namespace), f"the {kind} {name} is gone", DELETING)


def is_gone(cluster: Cluster, kind: str, name: str, namespace: str) -> bool:
    return not cluster.kubectl("get", kind, name, f"--namespace={namespace}", "--ignore-not-found", "--output=name")
