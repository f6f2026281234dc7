"""A service has one ambassador, so it is on one bus: that of the oldest choreography that names it."""

from typing import Any

from choregos_contract.document import resource_of
from choregos_contract.precedence import on_their_bus
from choregos_contract.resources import Choreography


def choreography(name: str, bus: str, *services: str) -> Choreography:
    spec: dict[str, Any] = {"bus": bus, "events": {"Done": {"external": True}}}
    spec["services"] = {service: {"reactions": [{"event": "Done"}]} for service in services}
    head = {"apiVersion": "choregos.dev/v1alpha1", "kind": "Choreography"}
    found = resource_of({**head, "metadata": {"name": name, "namespace": "shop"}, "spec": spec})
    assert isinstance(found, Choreography)
    return found


def services(*choreographies: Choreography) -> list[list[str]]:
    return [sorted(each.spec.services) for each in on_their_bus(choreographies)]


def test_a_younger_choreography_goes_without_a_service_that_an_older_one_has_on_another_bus() -> None:
    older, younger = choreography("older", "one", "a", "b"), choreography("younger", "two", "b", "c")
    assert services(older, younger) == [["a", "b"], ["c"]]
    assert services(younger, older) == [["b", "c"], ["a"]]


def test_choreographies_of_one_bus_share_a_service() -> None:
    assert services(choreography("one", "x", "a"), choreography("two", "x", "a", "b")) == [["a"], ["a", "b"]]


def test_what_has_no_conflict_is_the_same_object() -> None:
    alone = choreography("alone", "x", "a")
    assert on_their_bus([alone]) == (alone,)
    assert on_their_bus([alone])[0] is alone
