"""A pass over servers that are not ours comes to an end, and says what is wrong with them."""

from datetime import UTC, datetime, timedelta

import pytest

from choregos_contract.names import BusNames
from choregos_contract.wiring import Wanted
from choregos_operator.bus.bring_about import bring_about
from choregos_operator.bus.faults import BusUnusable
from support.paged_jetstream import ENDLESS, PagedJetStream

NAMES = BusNames(namespace="shop")


class Endless(PagedJetStream):
    """A connection to such a server."""

    server_version = "2.12.0"

    async def gather(self, subject: str, *, max_age: float = 0.0) -> tuple[bytes, ...]:
        raise NotImplementedError


@pytest.mark.parametrize(("durables", "letters"), [(ENDLESS, 0), (0, ENDLESS)])
async def test_a_list_without_an_end_is_given_up(durables: int, letters: int) -> None:
    asker = Endless(NAMES, durables=durables, letters=letters)
    with pytest.raises(BusUnusable, match="more than 1000 pages") as raised:
        await bring_about(
            asker,
            Wanted((), ()),
            names=NAMES,
            frozen=frozenset(),
            now=datetime(2026, 1, 1, tzinfo=UTC),
            orphan_ttl=timedelta(days=7),
        )
    assert raised.value.reason == "ListTooLong"
    assert asker.asked.total() < 1100
