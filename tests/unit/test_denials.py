"""What NATS does not permit is told once for each kind of subject, and the inbox is asked for again."""

import pytest

from choregos_ambassador import denials
from choregos_ambassador.denials import Denial, Denials, read_denial
from choregos_ambassador.log import log
from support.waiting import wait_for


async def never() -> None:
    raise AssertionError("no inbox was denied")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    subjects: list[str] = []
    monkeypatch.setattr(log, "error", lambda _, **fields: subjects.append(fields["subject"]))
    return subjects


def test_a_denial_is_read_from_what_the_server_says() -> None:
    assert read_denial('Permissions Violation for Publish to "a.B.c"') == Denial(True, "a.B.c")
    assert read_denial('permissions violation for subscription to "_INBOX.X.*"') == Denial(False, "_INBOX.X.*")
    assert read_denial("maximum payload violation") is None


async def test_subjects_that_differ_in_their_last_tokens_are_told_once_until_the_next_connection(
    told: list[str],
) -> None:
    seen = Denials(never)
    for number in range(3):
        seen.tell(Denial(True, f"$JS.ACK.events.durable.1.{number}.2.3.4"))
        seen.tell(Denial(False, f"deliver.{number}"))
    assert told == ["$JS.ACK.events.durable.1.0.2.3.4", "deliver.0", "deliver.1", "deliver.2"]
    seen.forget()
    seen.tell(Denial(False, "deliver.0"))
    assert told[4:] == ["deliver.0"]


async def test_a_denied_inbox_is_asked_for_again_and_once_at_a_time(
    told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denials, "DENIED_EVERY", 0.0)
    reconnects: list[None] = []

    async def reconnect() -> None:
        reconnects.append(None)

    seen = Denials(reconnect)
    for _ in range(3):
        seen.tell(Denial(False, "_INBOX.X.*"))
        seen.tell(Denial(True, "_INBOX.X.1"))
    await wait_for(lambda: reconnects, "a new connection")
    assert len(reconnects) == 1
    seen.tell(Denial(False, "_INBOX.X.*"))
    await wait_for(lambda: len(reconnects) == 2, "another connection")
    assert set(told) == {"_INBOX.X.*", "_INBOX.X.1"}
