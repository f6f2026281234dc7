"""What becomes of a durable that no choreography wants: nothing that was anybody's is swept before its time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_contract.plan import Existing
from choregos_contract.survey import DurableState
from choregos_operator.bus.orphans import Keep, Mark, Renew, Sweep, Unmark, orphans

NOW = datetime(2026, 1, 10, tzinfo=UTC)
TTL = timedelta(days=7)


def seen(
    name: str = "d", owner: str | None = "uid-1", orphaned: str | None = None, in_hand: int = 0, waiting: int = 0
) -> DurableState:
    marks = {"choregos.dev/owner": owner, "choregos.dev/orphaned": orphaned}
    metadata = {key: value for key, value in marks.items() if value is not None}
    existing = Existing({"metadata": metadata}, "")
    return DurableState(name, existing, in_hand=in_hand, waiting=waiting)


def told(*durables: DurableState, wanted: set[str] = frozenset(), frozen: set[str] = frozenset()) -> list[type]:  # type: ignore[assignment]
    return [type(each) for each in orphans(durables, frozenset(wanted), frozenset(frozen), NOW, TTL)]


@pytest.mark.parametrize(
    ("orphaned", "verdict"),
    [
        (None, Mark),
        ("2026-01-09T00:00:00Z", Keep),
        ("2026-01-03T00:00:01Z", Keep),
        ("2026-01-03T00:00:00Z", Sweep),
        ("2026-01-03T02:00:00+02:00", Sweep),
        ("2026-01-03T00:00:00", Sweep),
        ("2027-01-01T00:00:00Z", Keep),
        ("yesterday", Mark),
    ],
)
def test_an_orphan_is_marked_then_kept_then_swept(orphaned: str | None, verdict: type) -> None:
    assert told(seen(orphaned=orphaned)) == [verdict]


@pytest.mark.parametrize("use", [{"in_hand": 1}, {"waiting": 1}])
@pytest.mark.parametrize(
    ("orphaned", "verdict"),
    [
        (None, Mark),
        ("2026-01-06T12:00:01Z", Keep),
        ("2026-01-06T12:00:00Z", Renew),
        ("2020-01-01T00:00:00Z", Renew),
    ],
)
def test_an_orphan_that_somebody_reads_is_not_swept_and_its_time_begins_anew(
    orphaned: str | None, verdict: type, use: dict[str, Any]
) -> None:
    assert told(seen(orphaned=orphaned, **use)) == [verdict]


@pytest.mark.parametrize("orphaned", [None, "2026-01-09T00:00:00Z", "2020-01-01T00:00:00Z"])
def test_what_is_wanted_is_no_orphan_whoever_owned_it(orphaned: str | None) -> None:
    assert told(seen(orphaned=orphaned), wanted={"d"}) == []


@pytest.mark.parametrize("owner", [None, "", "shipping/shop"])
@pytest.mark.parametrize("orphaned", [None, "2020-01-01T00:00:00Z"])
def test_what_no_object_of_the_cluster_owns_is_let_be(owner: str | None, orphaned: str | None) -> None:
    assert told(seen(owner=owner, orphaned=orphaned)) == []


@pytest.mark.parametrize(("orphaned", "verdicts"), [(None, []), ("2020-01-01T00:00:00Z", [Unmark]), ("x", [Unmark])])
def test_what_belongs_to_a_choreography_that_cannot_be_read_is_kept(orphaned: str | None, verdicts: list[type]) -> None:
    assert told(seen(orphaned=orphaned), frozen={"uid-1"}) == verdicts


@given(
    st.lists(
        st.builds(
            seen,
            name=st.sampled_from("abcd"),
            owner=st.sampled_from([None, "ns/name", "uid-1", "uid-2"]),
            orphaned=st.none() | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat) | st.text(max_size=5),
            in_hand=st.integers(0, 1),
            waiting=st.integers(0, 1),
        )
    ),
    st.frozensets(st.sampled_from("abcd")),
    st.frozensets(st.sampled_from(["uid-1", "uid-2"])),
)
def test_only_an_old_mark_sweeps_and_never_what_is_wanted_read_frozen_or_others(
    durables: list[DurableState], wanted: frozenset[str], frozen: frozenset[str]
) -> None:
    for verdict in orphans(durables, wanted, frozen, NOW, TTL):
        durable = verdict.durable
        assert durable.name not in wanted
        assert durable.owner.startswith("uid")
        assert isinstance(verdict, Unmark) == (durable.owner in frozen)
        if isinstance(verdict, Sweep):
            assert not durable.in_use
            marked = datetime.fromisoformat(durable.existing.ours["choregos.dev/orphaned"])
            assert NOW - (marked if marked.tzinfo else marked.replace(tzinfo=UTC)) >= TTL
