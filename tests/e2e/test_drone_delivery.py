"""The drone delivery on real pods, as the README installs it."""

from support.customers import more_accepted
from support.shipping import SERVICES, Shipping


def test_every_request_through_the_service_comes_to_its_outcome(shipping: Shipping) -> None:
    with shipping.customers() as asking:
        more_accepted(asking, 40)
    found = shipping.settled(asking.accepted.values())
    assert len(found) >= 40


def test_every_pod_has_its_ambassador_as_a_native_sidecar(shipping: Shipping) -> None:
    for service in SERVICES:
        (pod,) = shipping.pods(service)
        (sidecar,) = (each for each in pod["spec"]["initContainers"] if each["name"] == "choregos-ambassador")
        assert sidecar["restartPolicy"] == "Always"
