"""The wiring as values: what a bus needs, and the steps from what exists to what is wanted."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_contract.plan import Actual, Create, Existing, Nothing, Refuse, Step, Update, plan
from choregos_contract.resources import Choreography
from choregos_contract.wiring import Stream, Wanted, moment, version, wanted
from support.choreographies import choreography, event_bus, reaction

NOW = "2026-01-02T03:04:05Z"
LATER = "2026-06-07T08:09:10Z"
SERVER = "2.15.1"
EVENTS = "choregos_shipping_default_events"
DURABLE = "choregos_package_OrderPlaced"
INBOX = "KV_choregos_shipping_default_inbox"

EMPTY = Actual()
NANO = 1_000_000_000


def simple(**fields: Any) -> Wanted:
    return wanted([reaction("package", "OrderPlaced", **fields)], None, "shipping")


def applied(steps: Sequence[Step], before: Actual = EMPTY, server: str = SERVER) -> Actual:
    """What a server answers after these steps, with the fields that it adds of its own."""
    streams, durables = dict(before.streams), dict(before.durables)
    for step in steps:
        if not isinstance(step, Create | Update):
            continue
        config = json.loads(json.dumps(step.config))
        config["metadata"] |= {"_nats.ver": server, "_nats.level": "5", "_nats.req.level": "0"}
        if isinstance(step.target, Stream):
            added = {"max_msgs": -1, "max_consumers": -1, "compression": "none", "sealed": False}
            streams[step.target.name] = Existing({**added, **config}, NOW)
        else:
            added = {"replay_policy": "instant", "max_waiting": 512, "num_replicas": 0}
            durables[step.target.stream, step.target.name] = Existing({**added, **config}, NOW)
    return Actual(streams, durables)


def planned(want: Wanted, actual: Actual, now: str = LATER, server: str = SERVER) -> tuple[Step, ...]:
    return plan(want, actual, server_version=server, now=now)


def with_inbox(ttl: str) -> Wanted:
    return simple(idempotency={"ttl": ttl})


WIRED = applied(planned(simple(), Actual(), NOW))


class TestStreams:
    def test_the_event_stream(self) -> None:
        (events, _, _) = simple().streams
        assert events.to_config(SERVER) == {
            "name": EVENTS,
            "subjects": ["choregos.shipping.default.ev.*.*.*", "choregos.shipping.default.rd.*.*.*"],
            "retention": "limits",
            "discard": "new",
            "storage": "file",
            "num_replicas": 1,
            "max_age": 7 * 86400 * NANO,
            "max_bytes": 2**30,
            "duplicate_window": 600 * NANO,
            "allow_direct": True,
            "allow_atomic": True,
            "metadata": {"choregos.dev/partitions": "16", "choregos.dev/shards": "256"},
        }

    def test_the_dead_letter_stream(self) -> None:
        bus = event_bus(
            stream={"prefix": "east", "replicas": 3, "storage": "memory", "partitions": 4, "shards": 8},
            deadLetters={"maxAge": "5m", "maxBytes": "1Mi"},
        )
        (_, letters, _) = wanted([], bus, "shipping").streams
        assert letters.to_config(SERVER) == {
            "name": "east_shipping_default_dead-letters",
            "subjects": ["east.shipping.default.dl.*.*.*"],
            "retention": "limits",
            "discard": "new",
            "storage": "memory",
            "num_replicas": 3,
            "max_age": 300 * NANO,
            "max_bytes": 2**20,
            "duplicate_window": 300 * NANO,
            "allow_direct": True,
            "metadata": {"choregos.dev/partitions": "4", "choregos.dev/shards": "8"},
        }

    def test_the_bucket_of_notes_keeps_the_last_value_of_a_key_for_longer_than_an_event_lives(self) -> None:
        (_, _, notes) = wanted([], event_bus(stream={"maxAge": "1h", "duplicateWindow": "1m"}), "shipping").streams
        config = notes.to_config(SERVER)
        assert (config["name"], config["subjects"]) == (
            "KV_choregos_shipping_default_notes",
            ["$KV.choregos_shipping_default_notes.>"],
        )
        assert (config["max_msgs_per_subject"], config["allow_rollup_hdrs"], config["deny_delete"]) == (1, True, True)
        assert (config["max_age"], config["duplicate_window"]) == (2 * 3600 * NANO, 60 * NANO)
        assert "allow_atomic" not in config

    def test_the_inbox_is_wanted_only_if_a_reaction_has_idempotency(self) -> None:
        assert [each.name for each in simple().streams if each.inbox] == []
        (*others, inbox) = with_inbox("1h").streams
        assert tuple(others) == simple().streams
        assert inbox.to_config(SERVER) == {
            "name": INBOX,
            "subjects": ["$KV.choregos_shipping_default_inbox.>"],
            "retention": "limits",
            "discard": "old",
            "storage": "file",
            "num_replicas": 1,
            "max_age": 3600 * NANO,
            "max_bytes": 2**28,
            "duplicate_window": NANO,
            "allow_direct": True,
            "max_msgs_per_subject": 1,
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "allow_msg_ttl": True,
            "metadata": {"choregos.dev/partitions": "16", "choregos.dev/shards": "256"},
        }

    def test_the_inbox_is_where_the_events_are_and_as_large_as_its_bus_says(self) -> None:
        bus = event_bus(stream={"storage": "memory", "replicas": 3}, inbox={"maxBytes": "1Mi"})
        shop = reaction("package", "OrderPlaced", idempotency={"ttl": "1h"})
        config = wanted([shop], bus, "shipping").streams[-1].to_config(SERVER)
        assert (config["storage"], config["num_replicas"], config["max_bytes"]) == ("memory", 3, 2**20)

    @pytest.mark.parametrize(
        ("ttls", "delivery", "age"),
        [(("1h", "1d", "2h"), {}, 86400), (("1s",), {"timeout": "1m"}, 65), (("10m",), {"timeout": "1m"}, 600)],
    )
    def test_the_inbox_remembers_for_its_longest_ttl_and_longer_than_a_claim_is_good(
        self, ttls: tuple[str, ...], delivery: dict[str, str], age: int
    ) -> None:
        several = [{"event": f"E{index}", "idempotency": {"ttl": ttl}} for index, ttl in enumerate(ttls)]
        shop = choreography({"package": {"reactions": several}}, delivery=delivery)
        assert wanted([shop], None, "shipping").streams[-1].to_config(SERVER)["max_age"] == age * NANO

    @pytest.mark.parametrize(("server", "ttl"), [("2.10.29", False), ("2.11.0", True), ("2.15.1", True)])
    def test_an_older_server_gets_no_ttl_for_each_key(self, server: str, ttl: bool) -> None:
        assert ("allow_msg_ttl" in with_inbox("1h").streams[-1].to_config(server)) is ttl

    @pytest.mark.parametrize(
        ("server", "atomic"), [("2.10.29", False), ("2.11.0", False), ("2.12.0-beta.1", True), ("3.0.0", True)]
    )
    def test_a_server_gets_only_fields_that_it_knows(self, server: str, atomic: bool) -> None:
        assert ("allow_atomic" in simple().streams[0].to_config(server)) is atomic


class TestDurables:
    def test_a_durable(self) -> None:
        shop = choreography(
            {"package": {"reactions": [{"event": "OrderPlaced"}]}}, delivery={"maxInFlight": 7}, uid="u-1"
        )
        (durable,) = wanted([shop], None, "shipping").durables
        assert durable.stream == EVENTS
        assert durable.to_config(NOW) == {
            "durable_name": DURABLE,
            "name": DURABLE,
            "filter_subjects": [
                "choregos.shipping.default.ev.OrderPlaced.*.*",
                "choregos.shipping.default.rd.package.OrderPlaced.*",
            ],
            "ack_policy": "explicit",
            "ack_wait": 30 * NANO,
            "max_deliver": -1,
            "max_ack_pending": 7,
            "deliver_policy": "new",
            "metadata": {
                "choregos.dev/owner": "u-1",
                "choregos.dev/service": "package",
                "choregos.dev/event": "OrderPlaced",
                "choregos.dev/start-from": "created",
                "choregos.dev/created": NOW,
            },
        }

    def test_an_owner_without_uid_goes_by_its_name(self) -> None:
        assert simple().durables[0].owner == "shipping/shop"

    @pytest.mark.parametrize(
        ("start_from", "policy", "time"),
        [
            ("created", "new", None),
            ("all", "all", None),
            ("2026-01-01T02:00:00.5+02:00", "by_start_time", "2026-01-01T00:00:00.5Z"),
        ],
    )
    def test_where_a_reaction_starts(self, start_from: str, policy: str, time: str | None) -> None:
        config = simple(startFrom=start_from).durables[0].to_config(NOW)
        assert (config["deliver_policy"], config.get("opt_start_time")) == (policy, time)

    @pytest.mark.parametrize(
        ("written", "utc"),
        [
            ("created", "created"),
            ("all", "all"),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("2026-01-01t00:00:00.000z", "2026-01-01T00:00:00Z"),
            ("2026-01-01T00:00:00.123456789-01:30", "2026-01-01T01:30:00.123456789Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00+01:00"),
        ],
    )
    def test_a_moment_has_one_spelling(self, written: str, utc: str) -> None:
        assert moment(written) == utc

    def test_of_two_choreographies_that_claim_one_reaction_the_first_owns_the_durable(self) -> None:
        rivals = [choreography({"package": {"reactions": [{"event": "E"}]}}, name=name) for name in ("old", "young")]
        assert [each.owner for each in wanted(rivals, None, "shipping").durables] == ["shipping/old"]

    @pytest.mark.parametrize("start_from", ["created", "all", "2026-01-01T00:00:00Z"])
    def test_in_the_place_of_a_lost_one_it_begins_at_a_sequence_and_still_says_what_was_asked(
        self, start_from: str
    ) -> None:
        config = replace(simple(startFrom=start_from).durables[0], resume_at=7).to_config(NOW)
        assert (config["deliver_policy"], config["opt_start_seq"]) == ("by_start_sequence", 7)
        assert "opt_start_time" not in config
        assert config["metadata"]["choregos.dev/start-from"] == start_from

    def test_suspend_does_not_touch_the_durable(self) -> None:
        assert simple(suspend=True) == simple()


class TestPlan:
    def test_nothing_exists(self) -> None:
        steps = planned(simple(), Actual(), NOW)
        assert [type(step) for step in steps] == [Create] * 4
        assert [step.target for step in steps if isinstance(step, Create)] == [*simple().streams, *simple().durables]

    def test_all_is_wired(self) -> None:
        assert all(isinstance(step, Nothing) for step in planned(simple(), WIRED))

    def test_a_mutable_field_of_a_stream_is_updated_and_all_the_rest_carried_over(self) -> None:
        before = with_config(WIRED, EVENTS, compression="s2", max_bytes=5, metadata={**ours(EVENTS), "team": "a"})
        (step, *others) = planned(simple(), before)
        assert isinstance(step, Update)
        assert step.fields == ("max_bytes",)
        assert step.config["max_bytes"] == 2**30
        assert step.config["compression"] == "s2"
        assert step.config["metadata"]["team"] == "a"
        assert all(isinstance(other, Nothing) for other in others)

    def test_a_newer_server_gains_atomic_batches(self) -> None:
        before = applied(planned(simple(), Actual(), NOW, "2.10.1"), server="2.10.1")
        (step, *others) = planned(simple(), before)
        assert isinstance(step, Update)
        assert step.fields == ("allow_atomic",)
        assert all(isinstance(other, Nothing) for other in others)
        older = planned(simple(), WIRED, server="2.11.0")
        assert all(isinstance(other, Nothing) for other in older), "an older server is not asked to forget"

    def test_a_newer_server_gains_a_ttl_for_each_key_and_forgets_nothing(self) -> None:
        before = applied(planned(with_inbox("1h"), Actual(), NOW, "2.10.1"), server="2.10.1")
        steps = [step for step in planned(with_inbox("1h"), before) if not isinstance(step, Nothing)]
        updates = {step.target.name: step.fields for step in steps if isinstance(step, Update)}
        assert updates == {EVENTS: ("allow_atomic",), INBOX: ("allow_msg_ttl",)}

    @pytest.mark.parametrize(("ttl", "age"), [("2h", 2 * 3600), ("1h", None), ("1m", None)])
    def test_an_inbox_remembers_longer_and_never_shorter_than_before(self, ttl: str, age: int | None) -> None:
        before = applied(planned(with_inbox("1h"), Actual(), NOW))
        changed = [step for step in planned(with_inbox(ttl), before) if isinstance(step, Update)]
        assert [(step.fields, step.config["max_age"]) for step in changed] == (
            [(("max_age",), age * NANO)] if age else []
        )

    def test_an_inbox_that_forgets_nothing_stays_so(self) -> None:
        before = with_config(applied(planned(with_inbox("1h"), Actual(), NOW)), INBOX, max_age=0)
        assert all(isinstance(step, Nothing) for step in planned(with_inbox("2h"), before))

    def test_an_inbox_that_nobody_wants_any_more_is_left_as_it_is(self) -> None:
        before = applied(planned(with_inbox("1h"), Actual(), NOW))
        assert all(isinstance(step, Nothing) for step in planned(simple(), before))

    def test_an_update_of_a_durable_keeps_where_it_started(self) -> None:
        for start in ("created", "all", "2026-01-01T00:00:00Z"):
            before = applied(planned(simple(startFrom=start), Actual(), NOW))
            (*_, step) = planned(simple(startFrom=start, delivery={"maxInFlight": 5}), before)
            assert isinstance(step, Update)
            assert step.fields == ("max_ack_pending",)
            found = before.durables[EVENTS, DURABLE].config
            for fixed in ("deliver_policy", "opt_start_time", "filter_subjects", "metadata"):
                assert step.config.get(fixed) == found.get(fixed)

    def test_what_came_back_at_a_sequence_stays_there_also_without_its_metadata(self) -> None:
        placed = {"deliver_policy": "by_start_sequence", "opt_start_seq": 7}
        (*_, step) = planned(simple(), with_config(WIRED, DURABLE, **placed))
        assert isinstance(step, Nothing)
        (*_, step) = planned(simple(), with_config(WIRED, DURABLE, metadata={}, **placed))
        assert isinstance(step, Update)
        assert (step.fields, step.config["opt_start_seq"]) == (("metadata",), 7)

    def test_the_operators_record_of_a_stream_is_neither_compared_nor_removed(self) -> None:
        recorded = {**ours(EVENTS), "choregos.dev/applied": "{}"}
        (step, *_) = planned(simple(), with_config(WIRED, EVENTS, metadata=recorded))
        assert isinstance(step, Nothing)
        (step, *_) = planned(simple(), with_config(WIRED, EVENTS, metadata=recorded, max_bytes=5))
        assert isinstance(step, Update)
        assert (step.fields, step.config["metadata"]["choregos.dev/applied"]) == (("max_bytes",), "{}")

    def test_a_new_owner_adopts_the_durable_and_clears_the_marks_of_an_orphan(self) -> None:
        metadata = {**ours(DURABLE), "choregos.dev/owner": "gone", "choregos.dev/orphaned": NOW, "team": "a"}
        (*_, step) = planned(simple(), with_config(WIRED, DURABLE, metadata=metadata))
        assert isinstance(step, Update)
        assert step.fields == ("metadata",)
        assert step.config["metadata"]["choregos.dev/owner"] == "shipping/shop"
        assert step.config["metadata"]["choregos.dev/created"] == NOW
        assert step.config["metadata"]["team"] == "a"
        assert "choregos.dev/orphaned" not in step.config["metadata"]

    def test_what_others_made_is_adopted_if_it_fits(self) -> None:
        before = with_config(with_config(WIRED, EVENTS, metadata={"team": "a"}), DURABLE, metadata=None)
        (stream, *_, durable) = planned(simple(), before)
        assert isinstance(stream, Update)
        assert stream.fields == ("metadata",)
        assert stream.config["metadata"] == {"team": "a", "choregos.dev/partitions": "16", "choregos.dev/shards": "256"}
        assert isinstance(durable, Update)
        assert durable.config["metadata"]["choregos.dev/created"] == NOW, "the server's own record of its creation"

    @pytest.mark.parametrize(
        ("name", "change", "said"),
        [
            (EVENTS, {"storage": "memory"}, "its storage is 'memory', wanted is 'file'"),
            (EVENTS, {"retention": "workqueue"}, "its retention is 'workqueue'"),
            (
                EVENTS,
                {"metadata": {"choregos.dev/partitions": "8", "choregos.dev/shards": "256"}},
                "written with 8 partitions, wanted are 16",
            ),
            (
                EVENTS,
                {"metadata": {"choregos.dev/partitions": "16", "choregos.dev/shards": "64"}},
                "set shards back to 64",
            ),
            (EVENTS, {"metadata": {}, "subjects": ["other"]}, "it is not ours: .* other subjects"),
            (DURABLE, {"filter_subjects": ["a", "b"]}, "it reads a, b, wanted is .* never changes what it reads"),
            (DURABLE, {"filter_subjects": None, "filter_subject": "a"}, "it reads a, wanted is"),
            (DURABLE, {"deliver_subject": "x"}, "it is not ours: it pushes"),
            (DURABLE, {"ack_policy": "none"}, "takes no explicit acknowledgement"),
            (
                DURABLE,
                {"metadata": {"choregos.dev/start-from": "all"}},
                "startFrom is 'created', but the reaction started from 'all'",
            ),
            (
                DURABLE,
                {"metadata": {}, "deliver_policy": "by_start_time", "opt_start_time": "2026-01-01T00:00:00Z"},
                "started from '2026-01-01T00:00:00Z'",
            ),
            (DURABLE, {"metadata": {}, "deliver_policy": "last"}, "started from 'last'"),
        ],
    )
    def test_what_cannot_change_is_refused_with_the_way_out(self, name: str, change: dict[str, Any], said: str) -> None:
        steps = planned(simple(), with_config(WIRED, name, **change))
        (refusal,) = [step for step in steps if isinstance(step, Refuse)]
        assert re.search(said, str(refusal))
        assert name in refusal.what
        assert refusal.mend
        assert sum(isinstance(step, Nothing) for step in steps) == 3, "the others are left alone"

    def test_the_same_moment_in_another_spelling_is_no_change(self) -> None:
        before = applied(planned(simple(startFrom="2026-01-01T00:00:00Z"), Actual(), NOW))
        steps = planned(simple(startFrom="2026-01-01T01:00:00.0+01:00"), before)
        assert all(isinstance(step, Nothing) for step in steps)

    def test_a_strangers_stream_with_messages_is_not_adopted(self) -> None:
        before = with_config(WIRED, EVENTS, metadata={})
        used = replace(before.streams[EVENTS], last_sequence=1)
        (step, *_) = planned(simple(), Actual({**before.streams, EVENTS: used}, before.durables))
        assert isinstance(step, Refuse)
        assert "holds messages" in step.reason

    @pytest.mark.parametrize("server", ["2.9.25", "1.4.0", "", "unknown"])
    def test_a_server_that_is_too_old_is_refused(self, server: str) -> None:
        (step,) = planned(simple(), Actual(), server=server)
        assert isinstance(step, Refuse)
        assert "2.10" in step.reason
        assert step.what.startswith("nats-server")

    def test_versions_are_read_from_what_servers_call_themselves(self) -> None:
        assert [version(text) for text in ("2.15.1", "v2.9.0-RC.1", "nonsense")] == [(2, 15), (2, 9), (0, 0)]


names = st.sampled_from(["a", "b-c", "d1"])
event_names = st.sampled_from(["E", "F.g", "F-g", "F_g"])
starts = st.sampled_from(["created", "all", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00"])


@st.composite
def choreographies(draw: st.DrawFn) -> list[Choreography]:
    drawn = []
    for name in draw(st.lists(names, max_size=3, unique=True)):
        services = draw(
            st.dictionaries(
                names,
                st.fixed_dictionaries(
                    {
                        "reactions": st.lists(
                            st.fixed_dictionaries(
                                {"event": event_names},
                                optional={
                                    "startFrom": starts,
                                    "delivery": st.just({"maxInFlight": 3}),
                                    "idempotency": st.sampled_from([{"ttl": "1h"}, {"ttl": "1d"}]),
                                },
                            ),
                            max_size=3,
                            unique_by=lambda each: str(each["event"]),
                        )
                    }
                ),
                max_size=3,
            )
        )
        drawn.append(choreography(services, name=name))
    return drawn


buses = st.builds(
    lambda stream: event_bus(stream=stream),
    st.fixed_dictionaries(
        {},
        optional={
            "storage": st.sampled_from(["file", "memory"]),
            "shards": st.sampled_from([16, 256]),
            "maxBytes": st.sampled_from([1000, "1Gi"]),
            "replicas": st.sampled_from([1, 3]),
        },
    ),
)
servers = st.sampled_from(["2.10.0", "2.12.0", "2.15.1"])


@given(choreographies(), buses, choreographies(), buses, servers)
def test_a_plan_applied_leaves_nothing_to_do(
    old: list[Choreography], old_bus: Any, new: list[Choreography], new_bus: Any, server: str
) -> None:
    """From any wiring to any other: one application settles all that is not refused, and refusals stay refused."""
    before = applied(planned(wanted(old, old_bus, "shipping"), Actual(), NOW, server), server=server)
    want = wanted(new, new_bus, "shipping")
    steps = planned(want, before, LATER, server)
    after = applied(steps, before, server)
    for first, second in zip(steps, planned(want, after, LATER, server), strict=True):
        assert second == first if isinstance(first, Refuse) else isinstance(second, Nothing)


@given(choreographies(), choreographies(), buses)
def test_nothing_is_ever_deleted_nor_moved(old: list[Choreography], new: list[Choreography], bus: Any) -> None:
    """There is no step that deletes; and a durable that exists keeps its filters, its start and its creation."""
    before = applied(planned(wanted(old, bus, "shipping"), Actual(), NOW))
    after = applied(planned(wanted(new, bus, "shipping"), before), before)
    assert set(before.streams) <= set(after.streams)
    for key, durable in before.durables.items():
        assert fixed(after.durables[key].config) == fixed(durable.config)


@given(choreographies(), buses)
def test_every_reaction_has_one_durable_of_its_own(some: list[Choreography], bus: Any) -> None:
    durables = wanted(some, bus, "shipping").durables
    reactions = {
        (name, each.event) for one in some for name, service in one.spec.services.items() for each in service.reactions
    }
    assert {(durable.service, durable.event) for durable in durables} == reactions
    assert len({durable.name for durable in durables}) == len(durables) == len(reactions)
    assert len({durable.filters for durable in durables}) == len(durables)


def fixed(config: Mapping[str, Any]) -> list[Any]:
    metadata = config["metadata"]
    recorded = [metadata["choregos.dev/created"], metadata["choregos.dev/start-from"]]
    return [config["filter_subjects"], config["deliver_policy"], config.get("opt_start_time"), *recorded]


def ours(name: str) -> dict[str, str]:
    (found,) = [each for each in (*WIRED.streams.values(), *WIRED.durables.values()) if each.config["name"] == name]
    return found.ours


def with_config(actual: Actual, name: str, **change: Any) -> Actual:
    """The same, but with these fields of the named stream or durable changed."""

    def changed(found: Existing) -> Existing:
        return replace(found, config={**found.config, **change}) if found.config["name"] == name else found

    return Actual(
        {key: changed(found) for key, found in actual.streams.items()},
        {key: changed(found) for key, found in actual.durables.items()},
    )
