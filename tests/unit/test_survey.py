"""What a bus holds is read whole or not at all: every list has an end, and a part of one is never taken for all."""

import pytest

from choregos_cli.cluster.stored_events import count_stored
from choregos_contract.names import BusNames
from choregos_contract.pages import MOST_PAGES, ListTooLong
from choregos_contract.plan import Existing
from choregos_contract.survey import DurableState, Reaction, survey
from choregos_contract.wire import STREAM_NOT_FOUND, JetStreamError
from support.paged_jetstream import ENDLESS, PagedJetStream

NAMES = BusNames(namespace="shop")
LIST = f"CONSUMER.LIST.{NAMES.event_stream}"
EVENTS, LETTERS = (f"STREAM.INFO.{name}" for name in (NAMES.event_stream, NAMES.dead_letter_stream))
BUCKETS = [f"KV_{NAMES.note_bucket}", f"KV_{NAMES.inbox_bucket}"]
NO_STREAM = {"code": 404, "err_code": STREAM_NOT_FOUND, "description": "stream not found"}
NO_ROOM = {"code": 503, "err_code": 10008, "description": "no leader"}


@pytest.mark.parametrize(("durables", "letters"), [(0, 0), (1, 1), (3, 2), (MOST_PAGES, MOST_PAGES)])
async def test_every_page_is_read_and_none_twice(durables: int, letters: int) -> None:
    server = PagedJetStream(NAMES, durables=durables, letters=letters, events=letters)
    found = await survey(server.ask, NAMES)
    assert found.durables.keys() == {f"d{number}" for number in range(durables)}
    assert found.dead_letters == ({Reaction("payment", "A.B"): letters} if letters else {})
    assert list(found.streams) == [NAMES.event_stream, NAMES.dead_letter_stream, *BUCKETS]
    assert (server.asked[LETTERS], server.asked[LIST]) == (max(letters, 1), max(durables, 1))
    assert server.asked.total() == max(letters, 1) + max(durables, 1) + 3
    assert await count_stored(server.ask, NAMES, "Ordered") == letters


@pytest.mark.parametrize(("durables", "letters"), [(ENDLESS, 0), (0, ENDLESS)])
async def test_a_survey_of_a_list_without_an_end_is_given_up(durables: int, letters: int) -> None:
    server = PagedJetStream(NAMES, durables=durables, letters=letters)
    with pytest.raises(ListTooLong, match=f"more than {MOST_PAGES} pages"):
        await survey(server.ask, NAMES)
    assert server.asked.total() < 1.1 * MOST_PAGES


async def test_events_without_an_end_have_no_count() -> None:
    server = PagedJetStream(NAMES, events=ENDLESS)
    with pytest.raises(ListTooLong, match=f"subjects of {NAMES.event_stream}"):
        await count_stored(server.ask, NAMES, "Ordered")


@pytest.mark.parametrize(
    ("gone", "letters", "streams"),
    [
        (LIST, 2, [NAMES.event_stream, NAMES.dead_letter_stream, *BUCKETS]),
        (EVENTS, 2, [NAMES.dead_letter_stream, *BUCKETS]),
        (LETTERS, 0, [NAMES.event_stream, *BUCKETS]),
    ],
)
async def test_a_stream_that_is_gone_or_goes_meanwhile_holds_nothing(
    gone: str, letters: int, streams: list[str]
) -> None:
    server = PagedJetStream(NAMES, durables=1, letters=2, refuses={gone: NO_STREAM})
    found = await survey(server.ask, NAMES)
    assert list(found.streams) == streams
    assert sum(found.dead_letters.values()) == letters
    assert len(found.durables) == (1 if gone == LETTERS else 0)


@pytest.mark.parametrize("refused", [LIST, LETTERS])
async def test_what_is_refused_for_another_reason_is_not_taken_for_nothing(refused: str) -> None:
    with pytest.raises(JetStreamError, match="no leader"):
        await survey(PagedJetStream(NAMES, refuses={refused: NO_ROOM}).ask, NAMES)


@pytest.mark.parametrize(("owner", "of_cluster"), [("uid-1", True), ("shop/orders", False), ("", False)])
def test_only_what_an_object_of_a_cluster_owns_is_a_controllers_to_give_up(owner: str, of_cluster: bool) -> None:
    durable = DurableState("d", Existing({"metadata": {"choregos.dev/owner": owner}}, ""))
    assert (durable.owner, durable.of_cluster) == (owner, of_cluster)
