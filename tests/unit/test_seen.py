"""What was read of a slice is found again exactly where a walk through it would find it first."""

from hypothesis import given
from hypothesis import strategies as st

from choregos_ambassador.seen import Seen
from choregos_contract.ids import derive

DERIVED = [derive("reply", str(number)) for number in range(4)]
LIKE = [*DERIVED, DERIVED[0][1:] + DERIVED[1][:1], "e1", "", DERIVED[0] + "x", "\udcff"]


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(LIKE))), st.integers(0, 60), st.integers(5, 10))
def test_it_finds_the_first_message_with_an_id_after_a_sequence(
    gaps: list[tuple[int, str]], after: int, begin: int
) -> None:
    seen, sequence, messages = Seen(begin), begin, []
    for gap, event_id in gaps:
        sequence += gap
        seen.note(sequence, event_id)
        messages.append((sequence, event_id))
    assert seen.end == sequence
    for wanted in DERIVED:
        assert seen.find(wanted, after) == next((at for at, each in messages if each == wanted and at > after), None)


def test_an_id_that_begins_within_another_is_not_there() -> None:
    seen = Seen(0)
    seen.note(1, DERIVED[0])
    seen.note(2, DERIVED[1])
    assert seen.find(DERIVED[0][5:] + DERIVED[1][:5], 0) is None
