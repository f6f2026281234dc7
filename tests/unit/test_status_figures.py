"""The figures of `choregos status`: what was read is shown, what was not is unknown, and never a number."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from choregos_cli.cluster.pods import ServicePods, pods_by_service
from choregos_cli.cluster.scene import Scene, scene
from choregos_cli.live.figures import Entry, Seen, SeenBus, Shown, figures
from choregos_cli.live.report import as_json, text
from choregos_contract.plan import Existing
from choregos_contract.running import RunningAmbassador
from choregos_contract.survey import BusSurvey, DurableState, Reaction, StreamState
from support.choreographies import choreography

NOW = datetime(2026, 1, 2, tzinfo=UTC)
EMPTY = Existing({"metadata": {"choregos.dev/service": "payment"}}, "2026-01-01T00:00:00Z")
SERVICES: dict[str, Any] = {"shop": {"emits": ["OrderPlaced"]}, "payment": {"reactions": [{"event": "OrderPlaced"}]}}


def body(name: str = "shop", *, created: str = "2026-01-01T00:00:00Z", **reaction: Any) -> dict[str, Any]:
    services = {**SERVICES, "payment": {"reactions": [{"event": "OrderPlaced", **reaction}]}}
    found = choreography(services, name=name).model_dump(mode="json", by_alias=True, exclude_unset=True)
    found["metadata"] |= {"creationTimestamp": created}
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": "events flow"}
    return found | {"status": {"conditions": [ready]}}


def durable(*, delivered: int = 0, in_hand: int = 0, unread: int = 0, redelivered: int = 0) -> DurableState:
    return DurableState("choregos_payment_OrderPlaced", EMPTY, 0, unread, in_hand, redelivered, 0, delivered)


def bus(here: Scene, found: DurableState | None, *running: RunningAmbassador, at: float = 0.0) -> SeenBus:
    names = here.of("default").names
    streams = {
        names.event_stream: StreamState(EMPTY, 5, 1536, 2**20),
        names.dead_letter_stream: StreamState(EMPTY, 2, 64, -1),
    }
    durables = {found.name: found} if found else {}
    survey = BusSurvey(streams, durables, frozenset(), {Reaction("payment", "OrderPlaced"): 2})
    entries = {"OrderPlaced": Entry("OrderPlaced", 5, NOW - timedelta(seconds=90))}
    oldest = {"choregos_payment_OrderPlaced": NOW - timedelta(hours=1)}
    return SeenBus(names, survey, running, entries, oldest, at)


def seen(*bodies: dict[str, Any], look: DurableState | None = None, running: Any = (), at: float = 0.0) -> Seen:
    here = scene("shipping", bodies)
    pods = {"payment": ServicePods(("a", "b"), ("a",), ("a",))}
    return Seen(here, bodies, pods, {"payment": 3}, {"default": bus(here, look, *running, at=at)})


def only(found: Seen, earlier: Seen | None = None) -> Shown:
    (shown,) = figures(found, NOW, earlier)
    return shown


def ambassador(generation: int, breaker: str = "closed", reason: str = "", **in_flight: int) -> RunningAmbassador:
    return RunningAmbassador(
        id=f"{generation}{breaker}",
        service="payment",
        generation=generation,
        breaker=breaker,
        breaker_reason=reason,
        in_flight=in_flight,
    )


def test_a_reaction_is_shown_with_all_that_is_before_it() -> None:
    running = (ambassador(3, OrderPlaced=1), ambassador(2, OrderPlaced=2))
    (row,) = only(seen(body(), look=durable(unread=4, in_hand=3, redelivered=1), running=running)).reactions
    assert (row.waiting, row.unacknowledged, row.redelivered, row.in_hand, row.dead_letters) == (4, 3, 1, 3, 2)
    assert row.oldest == 3600


def test_a_service_is_shown_with_its_pods_its_configuration_and_its_breakers() -> None:
    running = (ambassador(3), ambassador(2, "open", "5 troubles in a row"))
    _, row = only(seen(body(), look=durable(), running=running)).services
    assert (row.ready, row.pods, row.current, row.ambassadors) == (1, 2, 1, 2)
    assert row.breakers == {"closed": 1, "open": 1}
    assert row.reasons == ("5 troubles in a row",)


@pytest.mark.parametrize(
    ("before", "after", "rate"),
    [
        ((10, 2), (30, 2), 10.0),  # (deliveries, out for delivery), two seconds apart
        ((10, 2), (30, 12), 5.0),
        ((10, 2), (10, 0), 1.0),
        ((10, 2), (10, 2), 0.0),
        ((50, 2), (10, 0), 0.0),  # made anew in between
    ],
)
def test_a_rate_counts_the_deliveries_that_ended(before: tuple[int, int], after: tuple[int, int], rate: float) -> None:
    earlier = seen(body(), look=durable(delivered=before[0], in_hand=before[1]))
    later = seen(body(), look=durable(delivered=after[0], in_hand=after[1]), at=2.0)
    assert [each.rate for each in only(later, earlier).reactions] == [rate]
    assert [each.rate for each in only(later).reactions] == [None]


def test_without_nats_and_without_pods_every_figure_is_unknown() -> None:
    one = body()
    shown = only(Seen(scene("shipping", [one]), (one,), None, None, {}))
    told = as_json([shown], ["NATS"])
    (reaction,) = told["choreographies"][0]["reactions"]
    assert {value for key, value in reaction.items() if key not in ("service", "event")} == {None}
    assert told["choreographies"][0]["events"] is None
    for service in told["choreographies"][0]["services"]:
        assert service["pods"] == {"ready": None, "total": None}
        assert service["ambassadors"] == {"current": None, "total": None}
    assert told["unknown"] == ["NATS"]
    assert told["choreographies"][0]["conditions"][0]["type"] == "Ready"


@pytest.mark.parametrize(
    ("found", "reaction", "note"), [(None, {}, "no durable"), (durable(), {"suspend": True}, "suspended")]
)
def test_what_stands_still_says_why(found: DurableState | None, reaction: dict[str, Any], note: str) -> None:
    assert [each.note for each in only(seen(body(**reaction), look=found)).reactions] == [note]


def test_of_two_claims_the_younger_names_the_elder_and_has_no_figures() -> None:
    younger = body("younger", created="2026-01-01T00:00:01Z")
    first, second = figures(seen(body(), younger, look=durable(unread=4)), NOW)
    assert [(each.note, each.waiting) for each in first.reactions] == [("", 4)]
    assert [(each.note, each.waiting) for each in second.reactions] == [("claimed by shop", None)]


def test_a_choreography_that_cannot_be_read_is_shown_by_its_conditions() -> None:
    broken = body()
    broken["spec"]["events"] = {}
    shown = only(seen(broken))
    assert (shown.name, shown.reactions, shown.conditions[0]["type"]) == ("shop", (), "Ready")


def test_a_durable_that_is_kept_for_a_reaction_that_is_gone_is_shown_with_its_choreography() -> None:
    since = "2026-01-01T12:00:00Z"
    metadata = {"service": "payment", "event": "OrderPlaced", "owner": "uid-1", "orphaned": since}
    existing = Existing({"metadata": {f"choregos.dev/{key}": value for key, value in metadata.items()}}, "")
    kept = DurableState("choregos_payment_OrderPlaced", existing, 0, 4, 1, 0, 0)
    one, other = body(), body("other")
    one["metadata"]["uid"], other["metadata"]["uid"] = "uid-1", "uid-2"
    first, second = figures(seen(one, other, look=kept), NOW)
    assert [(each.service, each.event, each.pending, each.since) for each in first.orphaned] == [
        ("payment", "OrderPlaced", 5, since)
    ]
    assert second.orphaned == ()


def test_people_read_a_table() -> None:
    running = (ambassador(3), ambassador(2, "open", "5 troubles in a row"))
    found = seen(body(), look=durable(unread=4, in_hand=3, redelivered=1, delivered=9), running=running, at=2.0)
    shown = list(figures(found, NOW, seen(body(), look=durable())))
    console = Console(file=StringIO(), width=200)
    console.print(text(shown, ["the pods of x"], now=NOW, rates=True))
    told = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert told == [
        "shipping/shop bus default, 1d old",
        "Ready=True Ready: events flow",
        "events 5, 1.5Ki of 1Mi (0 %); dead letters 2, 64 B",
        "begins with OrderPlaced: 5 stored, the last 1m30s ago",
        "SERVICE PODS CURRENT BREAKER EVENT WAITING OUT RETRIED OLDEST DEAD RATE NOTE",
        "shop 0/0 ?/0 - -",
        "payment 1/2 1/2 open 1/2: 5 troubles in a row OrderPlaced 4 3 1 1h 2 3.0/s",
        "",
        "unknown: the pods of x",
    ]


def test_a_pod_counts_unless_it_is_over_leaving_or_declined() -> None:
    def pod(name: str, *, ambassador: bool = True, ready: str = "True", **of: Any) -> dict[str, Any]:
        containers = [{"name": "choregos-ambassador"}] if ambassador else []
        metadata = {"name": name, "labels": {"choregos.dev/service": "payment"}, **of.pop("metadata", {})}
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}], **of}
        return {"metadata": metadata, "spec": {"initContainers": containers, "containers": []}, "status": status}

    found = pods_by_service(
        [
            pod("serving"),
            pod("starting", ready="False"),
            pod("bare", ambassador=False),
            pod("over", phase="Succeeded"),
            pod("leaving", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
            pod("declined", metadata={"annotations": {"choregos.dev/inject": "false"}}),
        ]
    )
    assert found == {"payment": ServicePods(("serving", "starting", "bare"), ("serving", "starting"), ("serving",))}
    assert found["payment"].without == ("bare",)
