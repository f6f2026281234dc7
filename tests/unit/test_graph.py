"""The graph says who follows whom, and agrees with the plain definitions of its words."""

from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from choregos_contract.document import load
from choregos_contract.graph import Graph, Publication, Scope, components, graph_of, reachable, scopes, shortest_cycle
from choregos_contract.resources import Choreography

DRONES = (Path(__file__).parents[2] / "examples/drone-delivery/choreography.yaml").read_text("utf-8")
ANALYTICS = """\
apiVersion: choregos.dev/v1alpha1
kind: Choreography
metadata: {name: analytics, namespace: shipping}
spec:
  events:
    DeliveryScheduled: {external: true, description: The drone is on its way}
    PackageCreated: {external: true}
    Counted: {outcome: completed}
  services:
    analytics:
      reactions:
        - {event: DeliveryScheduled, emits: [Counted, Counted]}
        - {event: PackageCreated}
"""

networks = st.integers(1, 7).flatmap(
    lambda size: st.fixed_dictionaries(
        {
            str(node): st.lists(st.sampled_from([str(other) for other in range(size)]), max_size=4)
            for node in range(size)
        }
    )
)
Network = dict[str, list[str]]


def choreographies(*texts: str) -> list[Choreography]:
    return [each for text in texts for each in load(text, "f").choreographies]


def closure(network: Network) -> set[tuple[str, str]]:
    """Every pair of nodes with a way from the one to the other, by the definition (Warshall)."""
    pairs = {(start, end) for start, following in network.items() for end in following}
    for middle in network:
        pairs |= {(a, d) for a, b in pairs for c, d in pairs if b == c == middle}
    return pairs


@given(networks)
def test_two_events_share_a_component_if_each_leads_to_the_other(network: Network) -> None:
    found, pairs = components(network), closure(network)
    assert sorted(name for component in found for name in component) == sorted(network)
    component_of = {name: component for component in found for name in component}
    for one in network:
        for other in network:
            mutual = one == other or {(one, other), (other, one)} <= pairs
            assert (component_of[one] is component_of[other]) == mutual


@given(networks)
def test_components_come_causes_before_effects(network: Network) -> None:
    position = {name: index for index, component in enumerate(components(network)) for name in component}
    assert all(position[start] <= position[end] for start, following in network.items() for end in following)


@given(networks)
def test_what_is_reachable_is_the_start_and_what_it_leads_to(network: Network) -> None:
    pairs = closure(network)
    for start in network:
        assert reachable(network, [start]) == {start} | {end for begin, end in pairs if begin == start}


@given(networks)
def test_a_shortest_cycle_is_a_way_back_and_exists_if_there_is_one(network: Network) -> None:
    pairs = closure(network)
    for start in network:
        way = shortest_cycle(network, start)
        assert bool(way) == ((start, start) in pairs)
        assert all(after in network[before] for before, after in pairwise(way))
        assert len(set(way)) == max(0, len(way) - 1)


def test_a_deep_graph_does_not_end_in_a_recursion_error() -> None:
    chain = {str(node): [str(node + 1)] for node in range(5000)} | {"5000": []}
    assert len(components(chain)) == 5001


def longest_by_trying(network: Network, name: str) -> int:
    return max((1 + longest_by_trying(network, after) for after in network[name]), default=1)


@given(networks)
def test_the_longest_chain_of_a_graph_without_cycles_is_found(network: Network) -> None:
    downhill = {name: [after for after in following if after > name] for name, following in network.items()}
    spec = {
        "events": {f"E{name}": {} for name in downhill},
        "services": {"s": {"reactions": [
            {"event": f"E{name}", "emits": [f"E{after}" for after in following]} for name, following in downhill.items()
        ]}},
    }  # fmt: skip
    value = {"apiVersion": "choregos.dev/v1alpha1", "kind": "Choreography", "metadata": {"name": "a"}, "spec": spec}
    chain = graph_of([Choreography.model_validate(value)]).longest_chain
    assert len(chain) == max(longest_by_trying(downhill, name) for name in downhill)
    assert all(after.event in before.emits for before, after in pairwise(chain))


def drones() -> Graph:
    return graph_of(choreographies(DRONES))


def test_the_drone_delivery_is_read_as_it_is_written() -> None:
    graph = drones()
    assert graph.services == ("ingestion", "package", "dronescheduler", "delivery")
    assert graph.entries == ("DeliveryRequested",)
    assert graph.outcomes == ("DeliveryScheduled", "PackageRemoved")
    assert graph.publications == (Publication("ingestion", "DeliveryRequested"),)
    assert graph.successors["PackageCreated"] == ("DroneAssigned", "DroneUnavailable")
    assert graph.steps_on["DroneUnavailable"][0].path == ("spec", "services", "package", "reactions", 1)
    assert graph.cycles == ()
    assert [step.service for step in graph.longest_chain] == ["package", "dronescheduler", "delivery", "ingestion"]
    assert graph.reachable(["DroneUnavailable"]) == {"DroneUnavailable", "PackageRemoved"}


def test_several_choreographies_make_one_graph() -> None:
    graph = graph_of(choreographies(DRONES, ANALYTICS))
    assert graph.services[-1] == "analytics"
    assert graph.entries == ("DeliveryRequested",)
    scheduled = next(event for event in graph.events if event.name == "DeliveryScheduled")
    assert (scheduled.external, scheduled.outcome) == (False, "completed")
    assert scheduled.description == "The drone is on its way"
    assert [step.choreography for step in graph.steps_on["PackageCreated"]] == ["drone-delivery", "analytics"]
    assert graph.successors["DeliveryScheduled"] == ("Counted",)


def test_event_names_mean_the_same_only_within_a_namespace_and_bus() -> None:
    far = ANALYTICS.replace("namespace: shipping", "namespace: far")
    fast = ANALYTICS.replace("spec:\n", "spec:\n  bus: fast\n")
    drone, near, other, quick = choreographies(DRONES, ANALYTICS, far, fast)
    assert scopes([drone, near, other, quick]) == {
        Scope("shipping", "default"): (drone, near),
        Scope("far", "default"): (other,),
        Scope("shipping", "fast"): (quick,),
    }
