"""Names on the bus: fixed vectors for other languages, and names that never meet."""

import re
import string
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from choregos_contract.names import BusNames, token

names = BusNames(namespace="shipping")

label = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=8).filter(
    lambda text: text[0] != "-" and text[-1] != "-"
)
event_name = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,5}(\.[A-Za-z0-9_-]{1,4}){0,2}", fullmatch=True)


@pytest.mark.parametrize(
    ("key", "partition", "shard"),
    [
        # CRC-32/ISO-HDLC: its check value, that of "123456789", is 0xCBF43926.
        ("123456789", 0xCBF43926 % 16, 0xCBF43926 % 256),
        ("", 0, 0),
        ("order-1", 15, 239),
        ("0190b5d4-7c3e-7b1a-8e7f-3a5b6c7d8e9f", 4, 52),
        ("Bestellung-äöü", 7, 151),
        ("🚁", 0, 80),
    ],
)
def test_partition_and_shard_follow_the_published_vectors(key: str, partition: int, shard: int) -> None:
    assert (names.partition(key), names.shard(key)) == (partition, shard)


def test_subjects_streams_and_durables_are_spelled_as_documented() -> None:
    assert names.event_subject("OrderPlaced", "123456789") == "choregos.shipping.default.ev.OrderPlaced.6.38"
    assert (
        names.event_subject("OrderPlaced", "123456789", "order-1") == "choregos.shipping.default.ev.OrderPlaced.15.38"
    )
    assert names.redrive_subject("package", "a.B", "123456789") == "choregos.shipping.default.rd.package.a%2EB.38"
    assert names.dead_letter_subject("package", "a.B", 38) == "choregos.shipping.default.dl.package.a%2EB.38"
    assert names.transaction_filter("123456789") == "choregos.shipping.default.ev.*.*.38"
    assert names.transaction_filter("123456789", "a.B") == "choregos.shipping.default.ev.a%2EB.*.38"
    assert names.note_bucket == "choregos_shipping_default_notes"
    assert names.inbox_bucket == "choregos_shipping_default_inbox"
    assert names.event_stream == "choregos_shipping_default_events"
    assert names.dead_letter_stream == "choregos_shipping_default_dead-letters"
    assert names.durable("package", "a.B") == "choregos_package_a%2EB"
    assert names.durable_filters("package", "a.B") == (
        "choregos.shipping.default.ev.a%2EB.*.*",
        "choregos.shipping.default.rd.package.a%2EB.*",
    )


def test_an_empty_partition_key_is_a_key() -> None:
    assert names.event_subject("E", "order-1", "").split(".")[-2:] == ["0", "239"]


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("OrderPlaced", "OrderPlaced"),
        ("a.b", "a%2Eb"),
        ("a%2Eb", "a%252Eb"),
        ("*", "%2A"),
        (">", "%3E"),
        ("é ", "%C3%A9%20"),
    ],
)
def test_a_token_holds_nothing_that_a_subject_gives_meaning_to(name: str, encoded: str) -> None:
    assert token(name) == encoded


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=2, unique=True))
def test_tokens_of_distinct_names_are_distinct(texts: list[str]) -> None:
    tokens = [token(text) for text in texts]
    assert len(set(tokens)) == len(texts)
    assert all(re.fullmatch(r"[A-Za-z0-9_%-]+", each) for each in tokens)


@given(st.lists(st.tuples(label, label, label, label, event_name), min_size=2, max_size=6, unique=True))
def test_distinct_reactions_never_share_a_name(reactions: list[tuple[str, str, str, str, str]]) -> None:
    """Whatever the prefix, namespace, bus, service and event: no two reactions share a durable, no two buses a subject."""
    durables, buses = set(), {}
    for prefix, namespace, bus, service, event in reactions:
        each = BusNames(prefix=prefix, namespace=namespace, bus=bus)
        durables.add((each.event_stream, each.durable(service, event)))
        buses[prefix, namespace, bus] = each
    assert len(durables) == len(reactions)
    for one, other in combinations(buses.values(), 2):
        assert not {one.event_stream, one.dead_letter_stream} & {other.event_stream, other.dead_letter_stream}
        subject = other.event_subject("E", "c")
        assert not any(matches(pattern, subject) for pattern in one.event_stream_subjects)
        assert one.type_token(subject) is None


@given(label, event_name, st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_every_subject_is_stored_and_read_by_whom_it_is_for(service: str, event: str, correlation: str) -> None:
    subject = names.event_subject(event, correlation)
    redrive = names.redrive_subject(service, event, correlation)
    letter = names.dead_letter_subject(service, event, names.shard(correlation))
    own = names.durable_filters(service, event)
    others = names.durable_filters(service + "x", event)
    assert any(matches(pattern, subject) for pattern in names.event_stream_subjects)
    assert any(matches(pattern, redrive) for pattern in names.event_stream_subjects)
    assert matches(names.dead_letter_stream_subjects[0], letter)
    assert matches(names.transaction_filter(correlation), subject)
    assert any(matches(pattern, subject) for pattern in own)
    assert any(matches(pattern, subject) for pattern in others)
    assert any(matches(pattern, redrive) for pattern in own)
    assert not any(matches(pattern, redrive) for pattern in others)
    assert {names.type_token(each) for each in (subject, redrive, letter)} == {token(event)}


@pytest.mark.parametrize(
    "subject",
    [
        "choregos.shipping.default2.ev.E.1.2",
        "choregos.shipping.default.xx.E.1.2",
        "choregos.shipping.default.ev.E.1",
        "choregos.shipping.default.ev.E.1.2.3",
        "",
    ],
)
def test_a_foreign_subject_names_no_type(subject: str) -> None:
    assert names.type_token(subject) is None


def test_the_longest_names_fit_what_nats_allows() -> None:
    longest = BusNames(prefix="p" * 16, namespace="n" * 63, bus="b" * 63)
    event = ".".join(["a" * 6] * 14 + ["bb"])
    assert len(event) == 100
    assert max(len(longest.durable("s" * 63, event)), len(longest.dead_letter_stream)) <= 255


def matches(pattern: str, subject: str) -> bool:
    """NATS' own rule for `*`."""
    one, other = pattern.split("."), subject.split(".")
    return len(one) == len(other) and all(a in ("*", b) for a, b in zip(one, other, strict=True))
