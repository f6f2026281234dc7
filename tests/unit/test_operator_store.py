"""The store keeps what it is told of, also what it cannot look at, and nothing of what is gone."""

from typing import Any

import pytest

from choregos_contract.findings import Severity
from choregos_operator import store as stores
from choregos_operator.controller.observed import Observed
from choregos_operator.store import Store
from choregos_operator.watching import CHOREOGRAPHIES

SPEC = {
    "events": {"Ordered": {"external": True, "outcome": "completed"}},
    "services": {"till": {"reactions": [{"event": "Ordered"}]}},
}


def stored(kind: str, name: str, spec: Any, namespace: str = "shop") -> dict[str, Any]:
    """An object as the API server holds it."""
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-of-{name}",
        "resourceVersion": "7",
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    return {"apiVersion": "choregos.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def breaks(*_: object) -> Any:
    raise RecursionError("too deep")


@pytest.mark.parametrize("broken", ["resource_of", "check"])
def test_a_choreography_that_breaks_the_look_at_it_is_frozen_and_no_other_is_touched(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    store.put(stored("Choreography", "well", SPEC))
    with monkeypatch.context() as patch:
        patch.setattr(stores, broken, breaks)
        store.put(stored("Choreography", "bad", SPEC))
    bad, well = store.of_namespace("shop")
    assert well.valid
    assert (bad.valid, bad.choreography, bad.bus) == (False, None, "default")
    assert [(each.severity, "RecursionError" in each.message) for each in bad.findings] == [(Severity.ERROR, True)]
    store.put(stored("Choreography", "bad", SPEC))
    assert all(each.valid for each in store.of_namespace("shop"))


def test_a_bus_that_breaks_the_look_at_it_is_there_and_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    monkeypatch.setattr(stores, "resource_of", breaks)
    store.put(stored("EventBus", "default", {}))
    bus = store.stored_bus("shop", "default")
    assert bus
    assert bus.bus is None
    assert "RecursionError" in bus.findings[0].message


@pytest.mark.parametrize("spec", [None, [], "x"])
def test_a_spec_that_is_none_is_on_the_default_bus(spec: Any) -> None:
    store = Store()
    store.put(stored("Choreography", "shop", spec))
    assert [each.valid for each in store.of_bus("shop", "default")] == [False]


def test_nothing_is_kept_of_a_namespace_that_is_gone() -> None:
    observed = Observed()
    shop = stored("Choreography", "shop", SPEC)
    observed.mirror.put(CHOREOGRAPHIES, shop)
    assert observed.home("shop", "till") == "default"
    assert observed.store.scopes == {("shop", "default")}
    observed.mirror.drop(CHOREOGRAPHIES, shop)
    assert observed.home("shop", "till") == "default"
    assert observed.store.of_namespace("shop") == ()
    kept = (observed.store._choreographies, observed.store._sorted, observed._homes, observed._known)
    assert kept == ({}, {}, {}, {})


def test_a_bus_with_servers_of_its_own_is_elsewhere() -> None:
    store = (observed := Observed()).store
    store.put(stored("EventBus", "own", {"servers": ["nats://nats.shop:4222"]}))
    store.put(stored("EventBus", "shared", {}))
    names = ("own", "shared", "unheard-of")
    assert [observed.elsewhere(("shop", name)) for name in names] == [True, False, False]
