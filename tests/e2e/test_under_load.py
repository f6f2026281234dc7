"""The drone delivery while all around it changes, with customers who request deliveries all the time.

Every test ends with the proof that nothing which was accepted is lost, was done twice, or came to no end.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest

from choregos_cli.transactions import State
from support import node_release
from support.customers import Customers, more_accepted
from support.followed_logs import followed
from support.helm import Installed
from support.pods_seen import End, PodsSeen, watched
from support.probe_pods import container, pod
from support.shipping import AMBASSADOR, SERVICES, Shipping
from support.waiting import eventually

_log: Final = logging.getLogger(__name__)
SOME: Final = 40
"""Deliveries that are accepted before, between and after what happens."""
AWAY: Final = 300.0
"""Seconds for which NATS is away: longer than anything in the ambassador waits."""
RECREATED: Final = 300.0
"""Seconds after which the ReplicaSet controller may try again to make a pod: its pauses double, as long as it fails."""


@dataclass(frozen=True)
class Load:
    """The customers, and every state of every pod meanwhile."""

    asking: Customers
    pods: PodsSeen

    def goes_on(self, patience: float = 60.0) -> None:
        """Wait until some more deliveries are accepted."""
        more_accepted(self.asking, SOME, patience)


UnderLoad = Callable[[], Any]


@pytest.fixture
def under_load(shipping: Shipping) -> UnderLoad:
    """Customers from some time before what happens to some time after, and then the proof.

    At no time may a pod leave Ready that nobody has deleted, or a container be started again.
    """

    @contextmanager
    def load() -> Iterator[Load]:
        started = time.monotonic()
        with watched(shipping.cluster) as pods:
            with shipping.customers() as asking:
                run = Load(asking, pods)
                run.goes_on()
                yield run
                run.goes_on()
            refusals = dict(Counter(each.why for each in asking.refusals))
            _log.info("%d s, %d accepted, refused: %s", time.monotonic() - started, len(asking.accepted), refusals)
            assert pods.fallen() == []
            assert pods.restarts() == {}
        found = {each.correlation_id: each for each in shipping.settled(asking.accepted.values())}
        _log.info("settled after %d s", time.monotonic() - started)
        ended = Counter(found[each].state(idle=True) for each in asking.accepted.values())
        assert ended == {State.COMPLETED: len(asking.accepted)}

    return load


def test_a_service_is_scaled_up_and_down_again(shipping: Shipping, under_load: UnderLoad) -> None:
    with under_load() as load:
        shipping.scale("dronescheduler", 3)
        load.goes_on()
        with all_that_end_drain(shipping, load, "dronescheduler", leaving=2):
            shipping.scale("dronescheduler", 1)
    assert load.asking.refusals == []


def test_every_service_is_restarted_at_once(shipping: Shipping, under_load: UnderLoad) -> None:
    with under_load() as load, all_that_end_drain(shipping, load, *SERVICES, leaving=len(SERVICES)):
        shipping.restart(*SERVICES)
    assert load.asking.unreached() == []


def test_the_operator_is_restarted(shipping: Shipping, release: Installed, under_load: UnderLoad) -> None:
    with under_load() as load:
        operator(release, "rollout", "restart", "deployment/choregos-controller", "deployment/choregos-webhook")
        node_release.ready(release)
    assert load.asking.refusals == []


def test_nats_is_restarted(shipping: Shipping, release: Installed, under_load: UnderLoad) -> None:
    with under_load() as load:
        operator(release, "rollout", "restart", "statefulset/choregos-nats")
        node_release.ready(release)
    assert load.asking.unreached() == []


def test_the_pod_of_nats_is_deleted(shipping: Shipping, release: Installed, under_load: UnderLoad) -> None:
    with under_load() as load:
        operator(release, "delete", "pod", "choregos-nats-0")
        node_release.ready(release)
    assert load.asking.unreached() == []


def test_while_the_controller_is_gone_all_goes_on_and_new_pods_take_part(
    shipping: Shipping, release: Installed, under_load: UnderLoad
) -> None:
    with under_load() as load:
        with gone(release, "controller"):
            before = names(shipping, "package")
            shipping.scale("package", 2)
            (new,) = names(shipping, "package") - before
            eventually(lambda: "configured" in said(shipping, new), "the new pod's ambassador has its configuration")
            load.goes_on()
            with all_that_end_drain(shipping, load, "package", leaving=1):
                shipping.scale("package", 1)
            load.goes_on()
        shipping.ready()
    assert load.asking.refusals == []


def test_while_the_webhooks_are_gone_labelled_pods_wait_and_all_others_do_not(
    shipping: Shipping, release: Installed, under_load: UnderLoad
) -> None:
    with under_load() as load:
        with gone(release, "webhook"):
            shipping.kubectl("scale", "deployment", "package", "--replicas=2")
            eventually(lambda: "failed calling webhook" in refusal(shipping, "package"), "the pod was refused")
            shipping.cluster.apply(pod("plain", container("app", "pause")), namespace=shipping.namespace)
            shipping.kubectl("wait", "--for=condition=Ready", "pod/plain", "--timeout=50s")
            load.goes_on()
            assert len(names(shipping, "package")) == 1
        back = time.monotonic()
        eventually(lambda: len(names(shipping, "package")) == 2, "the pod that waited is made", RECREATED)
        _log.info("the pod that waited was made after %d s", time.monotonic() - back)
        shipping.rolled("package")
        load.goes_on()
        shipping.scale("package", 1)
        shipping.kubectl("delete", "pod", "plain", "--now")
    assert load.asking.refusals == []


@pytest.mark.timeout(1200)
def test_nats_is_away_for_five_minutes(shipping: Shipping, release: Installed, under_load: UnderLoad) -> None:
    with under_load() as load:
        with gone(release, "nats", kind="statefulset"):
            accepted, refused = len(load.asking.accepted), len(load.asking.refusals)
            last = time.monotonic() + AWAY
            eventually(lambda: time.monotonic() > last, "five minutes are over", AWAY + 60)
            assert len(load.asking.accepted) == accepted
            assert len(load.asking.refusals) > refused
        load.goes_on()
    assert {each.why for each in load.asking.refusals} == {"503"}


@contextmanager
def all_that_end_drain(shipping: Shipping, load: Load, *services: str, leaving: int) -> Iterator[None]:
    """Prove of the pods that go meanwhile that no event was sent to a service that had gone, and that none was killed."""
    before = set[str]().union(*(names(shipping, service) for service in services))
    with followed(shipping.cluster, shipping.namespace, before, AMBASSADOR) as logs:
        yield
        left = before - names(shipping)
        assert len(left) == leaving
        lines = {name: logs.whole(name) for name in left}
    for name in left:
        assert "draining" in {line["message"] for line in lines[name]}, name
        assert [line for line in lines[name] if refused(line)] == [], name
    ends = eventually(lambda: found if (found := load.pods.ends(left)).keys() == left else {}, "every end was seen")
    for name, containers in ends.items():
        assert containers.keys() == {AMBASSADOR, service_of(name)}
        assert set(containers.values()) == {End(0, in_time=True)}, (name, containers)


@contextmanager
def gone(release: Installed, component: str, kind: str = "deployment") -> Iterator[None]:
    """Have no pod of a component of the release meanwhile."""
    name = f"{kind}/choregos-{component}"
    selector = f"app.kubernetes.io/component={component}"
    operator(release, "scale", name, "--replicas=0")
    eventually(lambda: not node_release.pods(release, selector), f"no {component} is there", 120)
    try:
        yield
    finally:
        operator(release, "scale", name, "--replicas=1")
    node_release.ready(release)


def operator(release: Installed, *arguments: str) -> str:
    return release.cluster.kubectl(*arguments, "--namespace", release.namespace)


def names(shipping: Shipping, service: str | None = None) -> set[str]:
    return {each["metadata"]["name"] for each in shipping.pods(service)}


def service_of(name: str) -> str:
    return name.split("-", maxsplit=1)[0]


def said(shipping: Shipping, pod: str) -> str:
    return shipping.kubectl("logs", pod, f"--container={AMBASSADOR}")


def refusal(shipping: Shipping, service: str) -> str:
    """Say why the Deployment of a service cannot have all of its pods, if that is so."""
    found = shipping.cluster.get("deployment", service, "-n", shipping.namespace)["status"]["conditions"]
    return next((str(each["message"]) for each in found if each["type"] == "ReplicaFailure"), "")


def refused(line: dict[str, Any]) -> bool:
    return line["message"] == "hop" and str(line.get("error", "")).startswith("unreachable")
