"""What happens to a release over the years, under load: nothing that was accepted is lost, and nothing is done twice."""

import json
from datetime import UTC, datetime
from functools import partial

from support import cluster_command, node_release, previous_release
from support.admissions import admissions
from support.bus import TestBus
from support.customers import more_accepted
from support.helm import BUILT_IN, Installed, merged
from support.node import Node
from support.shipping import AMBASSADOR, EXAMPLE, SERVICES, Manifest, Shipping
from support.waiting import eventually

CHANGED = merged(
    BUILT_IN,
    {
        "webhook": {"replicas": 2},
        "controller": {"resources": {"requests": {"cpu": "60m", "memory": "170Mi"}}},
        "operator": {"logLevel": "debug"},
        "crds": {"keep": False},
    },
)
"""The definitions show that they are part of an upgrade by what `crds.keep` writes into them."""
WAITING = 5


def test_a_pod_of_before_the_upgrade_works_beside_the_new_operator_until_it_is_restarted(
    node: Node, release: Installed, shipping: Shipping
) -> None:
    image, present = previous_release.ambassador(), revision(release)
    node.load(image.archive)
    release.upgrade(merged(BUILT_IN, {"ambassador": {"image": {"tag": image.name.rpartition(":")[2]}}}))
    with shipping.customers() as asking:
        try:
            node_release.ready(release)
            shipping.restart("dronescheduler")
        finally:
            release.rollback(present)
        node_release.ready(release)
        assert ambassador_images(shipping, "dronescheduler") == [image.name]
        more_accepted(asking, 40)
        eventually(lambda: shipping.condition("AmbassadorsCurrent") == "True", "the old ambassador is current")
        assert shipping.condition("Ready") == "True"
        (old,) = (pod["metadata"]["name"] for pod in shipping.pods("dronescheduler"))
        told = said_of_versions(shipping)
        assert told["level"] == "warning"
        assert old in told["says"]
        shipping.restart("dronescheduler")
        assert said_of_versions(shipping)["level"] == "ok"
        more_accepted(asking, 20)
    shipping.settled(asking.accepted.values())


def test_an_upgrade_and_a_rollback_refuse_no_admission_and_lose_no_position(
    release: Installed, shipping: Shipping
) -> None:
    authorities, positions, before = node_release.ca_bundles(release), shipping.positions(), revision(release)
    with shipping.customers() as asking, admissions(shipping.cluster, shipping.namespace, "delivery") as admitted:
        admitted.more(3)
        release.upgrade(CHANGED)
        node_release.ready(release)
        assert len(node_release.pods(release, "app.kubernetes.io/component=webhook")) == 2
        assert kept_definitions(release) == 0
        admitted.more(3)
        more_accepted(asking, 20)
        release.rollback(before)
        node_release.ready(release)
        assert len(node_release.pods(release, "app.kubernetes.io/component=webhook")) == 1
        assert kept_definitions(release) == 2
        admitted.more(3)
        more_accepted(asking, 20)
    assert admitted.refusals == []
    assert asking.refusals == []
    assert node_release.ca_bundles(release) == authorities
    shipping.ready()
    shipping.settled(asking.accepted.values())
    assert shipping.positions() == positions


def test_a_choreography_that_is_deleted_and_applied_again_goes_on_where_it_was(shipping: Shipping) -> None:
    positions = shipping.positions()
    with shipping.customers() as asking:
        more_accepted(asking, 20)
        since = datetime.now(UTC)
        shipping.kubectl("delete", "-f", EXAMPLE / "choreography.yaml")
        try:
            for service in SERVICES:
                eventually(partial(rests, shipping, service, since), f"the ambassador of {service} rests", 120)
            rested = len(asking.refusals)
            eventually(lambda: len(asking.refusals) >= rested + 5, "customers are told to come again")
            assert published_by_ingestion(shipping).startswith("503 ")
            from_outside = shipping.requests_from_outside(WAITING)
            assert all(ready(pod) for pod in shipping.pods())
            assert shipping.on_bus(waiting_requests) >= WAITING
        finally:
            shipping.apply_choreography()
        shipping.ready()
        more_accepted(asking, 20)
    # Refused in so many words, and never by a connection: the service and its ambassador were there all the time.
    assert {each.why for each in asking.refusals} == {"503"}
    assert shipping.positions() == positions
    shipping.settled([*asking.accepted.values(), *from_outside])


def ambassador_images(shipping: Shipping, service: str) -> list[str]:
    """Return the ambassador's image of each pod of a service."""
    containers = [each for pod in shipping.pods(service) for each in pod["spec"]["initContainers"]]
    return [str(each["image"]) for each in containers if each["name"] == AMBASSADOR]


def said_of_versions(shipping: Shipping) -> Manifest:
    """Return what `choregos check` says of the ambassadors' versions."""
    ended = cluster_command.on(shipping.cluster, "check", "--namespace", shipping.namespace, "--output=json")
    lines = [line for section in json.loads(ended.stdout)["sections"] for line in section["checks"]]
    (found,) = (line for line in lines if line["code"] == "pods-version")
    return dict(found)


def revision(release: Installed) -> int:
    """Return the number that a rollback to the present state takes."""
    labels = f"owner=helm,name={release.release},status=deployed"
    (found,) = release.cluster.get("secrets", "-n", release.namespace, "-l", labels)["items"]
    return int(found["metadata"]["labels"]["version"])


def kept_definitions(release: Installed) -> int:
    """Return how many of the definitions would stay if the release went."""
    names = ("choreographies.choregos.dev", "eventbuses.choregos.dev")
    found = [release.cluster.get("crd", name)["metadata"].get("annotations", {}) for name in names]
    return sum(each.get("helm.sh/resource-policy") == "keep" for each in found)


def rests(shipping: Shipping, service: str, since: datetime) -> bool:
    """Whether every ambassador of a service has given its configuration up."""
    names = [pod["metadata"]["name"] for pod in shipping.pods(service)]
    logs = [shipping.kubectl("logs", name, "-c", AMBASSADOR, f"--since-time={since:%FT%TZ}") for name in names]
    return all('"configuration gone"' in log for log in logs)


def published_by_ingestion(shipping: Shipping) -> str:
    """Return the status with which the ambassador of ingestion answers whoever publishes in its pod."""
    (pod,) = shipping.pods("ingestion")
    program = """
import os, urllib.error, urllib.request
url = os.environ["CHOREGOS_PUBLISH_URL"] + "/events/DeliveryRequested"
try:
    print(urllib.request.urlopen(urllib.request.Request(url, b"{}", {"Content-Type": "application/json"})).status)
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
"""
    command = ("--namespace", shipping.namespace, "-c", "ingestion", "--", "python", "-c", program)
    return shipping.cluster.kubectl("exec", pod["metadata"]["name"], *command)


def ready(pod: Manifest) -> bool:
    """Whether a pod serves."""
    conditions = {each["type"]: each["status"] for each in pod["status"]["conditions"]}
    return bool(conditions["Ready"] == "True")


async def waiting_requests(bus: TestBus) -> int:
    """Return how many requests nobody has processed yet; a last pull may have fetched them, and handed them back."""
    durable = await bus.durable("package", "DeliveryRequested")
    return int(durable["num_pending"] + durable["num_ack_pending"])
