"""What an apply changes: every reaction in one group, what is equal in none, and each durable's fate as the controller decides."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_cli.cluster.pods import ServicePods
from choregos_cli.cluster.scene import Scene, applied, scene
from choregos_cli.planning.changes import Change, Sign, What, changes, to_be_counted
from choregos_cli.planning.fate import Live, Wiring
from choregos_cli.planning.prose import sentences
from choregos_contract.plan import Existing
from choregos_contract.resources import Choreography
from choregos_contract.survey import BusSurvey, DurableState
from support.choreographies import choreography, event_bus

SERVER = "2.15.1"
Services = dict[str, Any]


def reacting(*events: str, **fields: Any) -> Services:
    return {"reactions": [{"event": event, **fields} for event in events]}


def stage(*choreographies: Choreography, **buses: dict[str, Any]) -> Scene:
    return Scene("shipping", choreographies, {name: event_bus(name=name, **spec) for name, spec in buses.items()})


def of(services: Services, name: str = "shop", **spec: Any) -> Choreography:
    return choreography(services, name=name, uid=f"uid-{name}", **spec)


def live(
    before: Scene, *, waiting: int = 0, in_hand: int = 0, letters: int = 0, bus: str = "default"
) -> Mapping[str, Live]:
    """What NATS holds of a scene that the controller has wired."""
    durables, dead = {}, {}
    for reaction, durable in before.of(bus).durables.items():
        existing = Existing(durable.to_config("2026-01-01T00:00:00Z"), "2026-01-01T00:00:00Z")
        durables[durable.name] = DurableState(durable.name, existing, unread=waiting, in_hand=in_hand)
        dead[reaction] = letters
    return {bus: Live(BusSurvey({}, durables, frozenset(), dead), SERVER)}


def reactions(found: tuple[Change, ...]) -> dict[str, Change]:
    mine = [each for each in found if each.what is What.REACTION]
    assert len({(each.bus, each.name) for each in mine}) == len(mine), "a reaction is in more than one group"
    return {each.name: each for each in mine}


def signs(found: tuple[Change, ...], what: What) -> dict[str, Sign]:
    return {each.name: each.sign for each in found if each.what is what}


SHOP: Services = {"shop": {"emits": ["OrderPlaced"]}, "payment": reacting("OrderPlaced", path="/payments")}
BEFORE = stage(of(SHOP))


def edited(**fields: Any) -> Scene:
    return stage(of({**SHOP, "payment": reacting("OrderPlaced", **{"path": "/payments", **fields})}))


class TestReactions:
    @pytest.mark.parametrize(
        ("fields", "settings", "wiring"),
        [
            ({"path": "/other"}, {"path": ("/payments", "/other")}, Wiring.KEEP),
            ({"suspend": True}, {"suspend": (None, "true")}, Wiring.KEEP),
            ({"delivery": {"timeout": "5s"}}, {"delivery.timeout": ("30s", "5s")}, Wiring.KEEP),
            ({"delivery": {"maxInFlight": 7}}, {"delivery.maxInFlight": ("10000", "7")}, Wiring.UPDATE),
            ({"startFrom": "all"}, {"startFrom": ("created", "all")}, Wiring.REFUSE),
            ({"idempotency": {"ttl": "1h"}}, {"idempotency.ttl": (None, "1h")}, Wiring.KEEP),
        ],
    )
    @pytest.mark.parametrize("asked", [True, False])
    def test_a_changed_reaction_names_its_settings_and_what_becomes_of_the_durable(
        self, fields: dict[str, Any], settings: dict[str, Any], wiring: Wiring, asked: bool
    ) -> None:
        found = reactions(changes(BEFORE, edited(**fields), live(BEFORE, waiting=3, in_hand=2) if asked else {}))
        (change,) = found.values()
        assert (change.name, change.sign) == ("payment/OrderPlaced", Sign.CHANGED)
        assert {each.name: (each.before, each.after) for each in change.settings} == settings
        assert change.fate
        assert change.fate.wiring is wiring
        assert (change.fate.waiting, change.fate.in_hand) == ((3, 2) if asked else (None, None))
        assert change.refused is (wiring is Wiring.REFUSE)

    @pytest.mark.parametrize(("start", "waiting"), [("created", 0), ("all", 118), ("2026-01-01T00:00:00Z", 118)])
    def test_a_new_reaction_says_what_it_would_be_given_at_once(self, start: str, waiting: int) -> None:
        after = stage(of({**SHOP, "audit": reacting("OrderPlaced", startFrom=start)}))
        first = changes(BEFORE, after, live(BEFORE))
        assert to_be_counted(first) == (frozenset() if start == "created" else {("default", "OrderPlaced")})
        known = live(BEFORE)["default"]
        counted = {"default": Live(known.survey, SERVER, {"OrderPlaced": 118})}
        (change,) = reactions(changes(BEFORE, after, counted)).values()
        assert change.fate
        assert (change.name, change.sign, change.fate.wiring) == ("audit/OrderPlaced", Sign.NEW, Wiring.CREATE)
        assert (change.fate.start_from, change.fate.waiting) == (start, waiting)
        assert change.fate.durable == "choregos_audit_OrderPlaced"

    def test_a_reaction_that_is_gone_says_what_would_be_dropped(self) -> None:
        after = stage(of({"shop": SHOP["shop"]}))
        (change,) = reactions(changes(BEFORE, after, live(BEFORE, waiting=12, in_hand=3, letters=2))).values()
        assert change.fate
        assert (change.sign, change.fate.wiring) == (Sign.GONE, Wiring.ORPHAN)
        told = " ".join(sentences(change, {}))
        assert "12 events waiting would be dropped" in told
        assert "3 events out for delivery" in told
        assert "2 dead letters kept" in told

    def test_without_nats_a_figure_is_unknown_and_said_so(self) -> None:
        (change,) = reactions(changes(BEFORE, stage(of({"shop": SHOP["shop"]})), {})).values()
        assert "an unknown number of events waiting would be dropped" in " ".join(sentences(change, {}))

    def test_a_rename_is_one_that_is_gone_and_one_that_is_new(self) -> None:
        after = stage(of({"shop": SHOP["shop"], "payments": SHOP["payment"]}))
        found = changes(BEFORE, after, live(BEFORE))
        assert signs(found, What.REACTION) == {"payment/OrderPlaced": Sign.GONE, "payments/OrderPlaced": Sign.NEW}
        assert signs(found, What.SERVICE) == {"payment": Sign.GONE, "payments": Sign.NEW}

    def test_a_durable_that_is_there_already_is_taken_up_where_it_stands(self) -> None:
        (change,) = reactions(changes(stage(of({"shop": SHOP["shop"]})), BEFORE, live(BEFORE, waiting=9))).values()
        assert change.fate
        assert (change.sign, change.fate.wiring, change.fate.waiting) == (Sign.NEW, Wiring.ADOPT, 9)

    @pytest.mark.parametrize("owner", ["shipping/shop", ""])
    def test_a_durable_that_was_not_made_in_a_cluster_is_let_be(self, owner: str) -> None:
        known = live(stage(choreography(SHOP, uid=owner)))
        (durable,) = known["default"].survey.durables.values()
        durable.existing.config["metadata"]["choregos.dev/owner"] = owner
        (change,) = reactions(changes(BEFORE, stage(of({"shop": SHOP["shop"]})), known)).values()
        assert change.fate
        assert change.fate.wiring is Wiring.LEAVE

    def test_a_service_that_moves_to_another_port_reloads_and_names_it_at_its_reactions_too(self) -> None:
        after = stage(of({**SHOP, "payment": {"port": 9090, **SHOP["payment"]}}))
        found = changes(BEFORE, after, {})
        assert signs(found, What.SERVICE) == {"payment": Sign.CHANGED}
        (service,) = (each for each in found if each.what is What.SERVICE)
        assert [(each.name, each.before, each.after) for each in service.settings] == [("port", "8080", "9090")]
        told = list(sentences(service, {"payment": ServicePods(("a", "b"), ("a",))}))
        assert told == [
            "1 pod (a) loads the new configuration; none is made anew",
            "1 pod (b) has no ambassador yet: make them anew, such as by `kubectl rollout restart`",
        ]


class TestBetweenChoreographies:
    def test_the_elder_keeps_a_reaction_that_the_younger_claims(self) -> None:
        younger = of({"payment": reacting("OrderPlaced", path="/mine")}, "younger")
        found = changes(BEFORE, stage(of(SHOP), younger), {})
        assert reactions(found) == {}
        assert signs(found, What.CHOREOGRAPHY) == {"younger": Sign.NEW}

    def test_a_reaction_that_the_elder_gives_up_goes_over_to_the_younger(self) -> None:
        younger = of({"payment": reacting("OrderPlaced", path="/mine")}, "younger")
        before, after = stage(of(SHOP), younger), stage(of({"shop": SHOP["shop"]}), younger)
        (change,) = reactions(changes(before, after, live(before))).values()
        assert (change.sign, change.fate and change.fate.wiring) == (Sign.CHANGED, Wiring.UPDATE)
        named = {each.name: (each.before, each.after) for each in change.settings}
        assert named == {"path": ("/payments", "/mine"), "choreography": ("shop", "younger")}

    def test_a_younger_choreography_takes_no_service_to_another_bus(self) -> None:
        younger = of({"payment": reacting("OrderPaid")}, "younger", bus="side")
        found = changes(stage(of(SHOP), side={}), stage(of(SHOP), younger, side={}), {})
        assert reactions(found) == {}


class TestBuses:
    def test_a_move_begins_anew_on_the_other_bus(self) -> None:
        found = changes(stage(of(SHOP), side={}), stage(of(SHOP, bus="side"), side={}), live(BEFORE, waiting=4))
        fates = {(each.bus, each.sign): each.fate for each in found if each.what is What.REACTION}
        gone, new = fates["default", Sign.GONE], fates["side", Sign.NEW]
        assert gone
        assert (gone.wiring, gone.waiting) == (Wiring.ORPHAN, 4)
        assert new
        assert new.wiring is Wiring.CREATE

    @pytest.mark.parametrize(
        "stream", [{"prefix": "other"}, {"partitions": 4}, {"shards": 8}, {"storage": "memory"}], ids=str
    )
    def test_what_a_bus_never_changes_is_refused(self, stream: dict[str, Any]) -> None:
        (name,) = stream
        found = changes(stage(of(SHOP), default={}), stage(of(SHOP), default={"stream": stream}), {})
        (bus,) = (each for each in found if each.what is What.BUS)
        assert bus.refused
        assert f"stream.{name} cannot be changed" in bus.obstacle

    def test_a_bus_that_would_leave_its_streams_says_what_stays_behind(self) -> None:
        after = stage(of(SHOP), default={"stream": {"prefix": "other"}})
        found = changes(BEFORE, after, live(BEFORE, waiting=5, in_hand=1))
        (bus,) = (each for each in found if each.what is What.BUS)
        assert (bus.sign, bus.refused, bus.unread) == (Sign.NEW, True, 6)
        assert reactions(found) == {}

    def test_a_bus_that_goes_to_other_servers_says_what_stays_behind(self) -> None:
        after = stage(of(SHOP), default={"servers": ["nats://elsewhere:4222"]})
        found = changes(BEFORE, after, live(BEFORE, waiting=5))
        (bus,) = (each for each in found if each.what is What.BUS)
        assert (bus.refused, bus.unread) == (False, 5)
        assert "5 events unread stay behind" in " ".join(sentences(bus, {}))

    def test_a_bus_that_does_not_exist_lets_its_reactions_wait(self) -> None:
        found = changes(stage(), stage(of(SHOP, bus="nowhere")), {})
        (bus,) = (each for each in found if each.what is What.BUS)
        assert "there is no EventBus nowhere" in bus.obstacle
        assert reactions(found) == {}

    def test_a_setting_of_a_bus_that_may_change_is_told(self) -> None:
        before, after = stage(default={"stream": {"maxAge": "7d"}}), stage(default={"stream": {"maxAge": "1d"}})
        (bus,) = changes(before, after, {})
        assert [(each.name, each.before, each.after) for each in bus.settings] == [("stream.maxAge", "7d", "1d")]
        assert not bus.refused


EVENTS = st.sampled_from(["Aa", "Bb", "Cc"])
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "path": st.sampled_from(["/a", "/b"]),
        "suspend": st.booleans(),
        "startFrom": st.sampled_from(["created", "all"]),
        "delivery": st.fixed_dictionaries({}, optional={"maxInFlight": st.integers(1, 3), "retry": st.integers(0, 2)}),
    },
)
SERVICE = st.builds(
    lambda port, emits, mine: {**port, "emits": emits, "reactions": [{"event": e, **f} for e, f in mine.items()]},
    st.sampled_from([{}, {"port": 9090}]),
    st.lists(EVENTS, unique=True, max_size=2),
    st.dictionaries(EVENTS, FIELDS, max_size=3),
)
SCENES = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(["x", "y", "z"]), SERVICE, max_size=3), st.sampled_from(["default", "side"])
    ),
    max_size=3,
).map(lambda each: stage(*(of(s, f"c{i}", bus=bus) for i, (s, bus) in enumerate(each)), side={}))


@given(SCENES)
def test_a_plan_of_what_is_there_is_empty(these: Scene) -> None:
    assert changes(these, these, {}) == ()
    assert changes(these, these, {**live(these), **live(these, bus="side")}) == ()


@given(SCENES, SCENES)
def test_every_reaction_is_in_one_group_and_what_is_in_none_is_equal(before: Scene, after: Scene) -> None:
    found = changes(before, after, {**live(before), **live(before, bus="side")})
    told = {(each.bus, each.name): each for each in found if each.what is What.REACTION}
    assert len(told) == sum(each.what is What.REACTION for each in found)
    for bus in ("default", "side"):
        old, new = before.of(bus), after.of(bus)
        for key in {*old.claims, *new.claims}:
            change = told.pop((bus, "/".join(key)), None)
            there = (key in old.claims, key in new.claims)
            if change is None:
                assert there == (True, True)
                assert old.durables[key] == new.durables[key]
                service, event = key
                reading = [{r.event: r for r in part.configurations[service].reactions}[event] for part in (old, new)]
                assert reading[0] == reading[1]
            else:
                expected = {(False, True): Sign.NEW, (True, False): Sign.GONE, (True, True): Sign.CHANGED}[there]
                assert change.sign is expected
                assert change.sign is not Sign.CHANGED or change.settings
    assert told == {}


@given(SCENES, SCENES)
def test_every_change_can_be_told(before: Scene, after: Scene) -> None:
    for change in changes(before, after, {}):
        assert all(isinstance(each, str) and each for each in sentences(change, None))


def _object(name: str, created: str, **spec: Any) -> dict[str, Any]:
    given = choreography(SHOP, name=name)
    body = given.model_dump(mode="json", by_alias=True, exclude_unset=True)
    body["metadata"] = {"name": name, "namespace": "shipping", "creationTimestamp": created}
    body["spec"] |= spec
    return body


def test_what_is_edited_keeps_its_age_and_what_is_new_is_the_youngest() -> None:
    stored = [_object("b", "2026-01-02T00:00:00Z"), _object("c", "2026-01-01T00:00:00Z")]
    tried = [_object("a", "2020-01-01T00:00:00Z"), _object("b", "2026-01-02T00:00:00Z", bus="side")]
    after = scene("shipping", applied(stored, tried))
    assert [each.metadata.name for each in after.choreographies] == ["c", "b", "a"]
    assert after.choreographies[1].spec.bus == "side"


def test_a_stored_choreography_with_an_error_is_left_out_and_named() -> None:
    broken = _object("broken", "2026-01-01T00:00:00Z", events={})
    assert scene("shipping", [broken]).unreadable == ("Choreography/shipping/broken",)
    mended = _object("broken", "2026-01-01T00:00:00Z")
    found = changes(scene("shipping", [broken]), scene("shipping", [mended]), {})
    assert signs(found, What.CHOREOGRAPHY) == {"broken": Sign.CHANGED}
