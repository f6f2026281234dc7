"""From choreographies to what each ambassador is told."""

import pytest

from choregos_contract.configuration import Delivery, Reaction, Readiness, dump, load
from choregos_contract.configure import bus_names, claims, configurations, with_port
from choregos_contract.event_bus import EventBus
from choregos_contract.names import BusNames
from choregos_contract.resources import Choreography
from support.choreographies import choreography, event_bus

SHOP = choreography(
    {
        "ingestion": {"port": 8080, "emits": ["Requested"]},
        "package": {
            "port": 8000,
            "readiness": "/healthz",
            "reactions": [
                {
                    "event": "Requested",
                    "path": "/packages",
                    "emits": ["Created", "Removed"],
                    "onSuccess": "Created",
                    "onFailure": "Removed",
                    "required": True,
                    "suspend": True,
                    "delivery": {"timeout": "5s", "retryOn": [410]},
                },
                {"event": "Unavailable", "port": 9000, "emits": ["Removed"]},
            ],
        },
        "drones": {"reactions": [{"event": "Created", "emits": ["Unavailable"]}]},
    },
    delivery={"retry": 7, "timeout": "1m", "reject": [400, 410]},
)


def test_a_service_is_told_all_that_its_ambassador_needs() -> None:
    told = configurations([SHOP], None, generation=3)["package"]
    assert (told.version, told.generation, told.service) == (1, 3, "package")
    assert told.bus == BusNames(namespace="shipping")
    assert told.readiness == Readiness(port=8000, path="/healthz")
    assert told.reactions == (
        Reaction(
            event="Requested",
            port=8000,
            path="/packages",
            emits=("Created", "Removed"),
            on_success="Created",
            on_failure="Removed",
            required=True,
            suspend=True,
            delivery=Delivery(timeout=5.0, retry=7, reject=(400,), retry_on=(410,)),
        ),
        Reaction(
            event="Unavailable",
            port=9000,
            emits=("Removed",),
            delivery=Delivery(timeout=60.0, retry=7, reject=(400, 410)),
        ),
    )


def test_every_service_has_a_configuration_that_can_be_read_back() -> None:
    told = configurations([SHOP], None, generation=1)
    assert list(told) == ["ingestion", "package", "drones"]
    assert {name: load(dump(each)) for name, each in told.items()} == told


def test_a_service_without_a_port_listens_where_knative_has_it_and_one_without_reactions_needs_no_readiness() -> None:
    told = configurations([SHOP], None, generation=1)
    assert told["drones"].readiness == Readiness(port=8080)
    assert told["drones"].reactions[0].port == 8080
    assert (told["ingestion"].readiness, told["ingestion"].emits) == (None, ("Requested",))


def test_the_bus_object_decides_names_and_window() -> None:
    shop = choreography({"a": {"emits": ["E"]}}, bus="big")
    stream = {"prefix": "east", "partitions": 8, "shards": 64, "duplicateWindow": "2m"}
    told = configurations([shop], event_bus(name="big", stream=stream), generation=1)["a"]
    assert told.bus == BusNames(namespace="shipping", bus="big", prefix="east", partitions=8, shards=64)
    assert told.duplicate_window == 120.0


def test_a_bus_without_an_object_keeps_its_name_and_has_the_defaults() -> None:
    told = configurations([choreography({"a": {"emits": ["E"]}}, bus="big")], None, generation=1)["a"]
    assert told.bus == BusNames(namespace="shipping", bus="big") == bus_names(None, "shipping", "big")
    assert told.duplicate_window == 600.0


def test_a_service_of_several_choreographies_gets_the_union() -> None:
    analytics = choreography(
        {"package": {"emits": ["Counted"], "reactions": [{"event": "Created"}]}, "stats": {"emits": ["Counted"]}},
        name="analytics",
    )
    told = configurations([SHOP, analytics], None, generation=1)
    assert [each.event for each in told["package"].reactions] == ["Requested", "Unavailable", "Created"]
    assert told["package"].emits == ("Counted",)
    assert told["package"].reactions[2].port == 8000, "the port of the service, wherever it is given"
    assert told["package"].reactions[2].delivery == Delivery(), "the delivery of its own choreography"
    assert set(told) == {"ingestion", "package", "drones", "stats"}


def test_of_two_claims_on_one_reaction_or_port_the_first_wins() -> None:
    rival = choreography(
        {"package": {"port": 1, "readiness": "/x", "reactions": [{"event": "Requested", "path": "/stolen"}]}},
        name="rival",
    )
    told = configurations([SHOP, rival], None, generation=1)["package"]
    assert [(each.event, each.path, each.port) for each in told.reactions] == [
        ("Requested", "/packages", 8000),
        ("Unavailable", "/", 9000),
    ]
    assert told.readiness == Readiness(port=8000, path="/healthz")
    assert {claim.choreography.metadata.name for claim in claims([SHOP, rival])} == {"shop"}
    assert configurations([rival, SHOP], None, generation=1)["package"].reactions[0].path == "/stolen"


def test_with_port_moves_the_service_and_nothing_else() -> None:
    told = configurations([SHOP], None, generation=1)["package"]
    moved = with_port(told, 40001)
    assert moved.readiness == Readiness(port=40001, path="/healthz")
    assert [each.port for each in moved.reactions] == [40001, 9000]
    assert with_port(moved, 8000) == told
    ingestion = configurations([SHOP], None, generation=1)["ingestion"]
    assert with_port(ingestion, 40001) == ingestion


def test_no_choreography_configures_nothing() -> None:
    assert configurations([], event_bus(), generation=1) == {}


@pytest.mark.parametrize(
    ("other", "bus"),
    [
        (choreography({"a": {"emits": ["E"]}}, bus="other"), None),
        (choreography({"a": {"emits": ["E"]}}, namespace="elsewhere"), None),
        (SHOP, event_bus(name="other")),
        (SHOP, event_bus(namespace="elsewhere")),
    ],
)
def test_two_buses_are_never_mixed_up(other: Choreography, bus: EventBus | None) -> None:
    with pytest.raises(ValueError, match=r"one bus at a time, not for: .*shipping/default"):
        configurations([SHOP, other], bus, generation=1)
