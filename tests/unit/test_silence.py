"""A NATS server that has no JetStream for us is left: after longer than an election takes, and not before."""

import time

import nats.errors
import pytest

from choregos_ambassador.silence import ELECTION, Silence

LEADERLESS = (
    b'{"type":"t","error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}'
)
FORLORN = b'{"type":"t","state":{"messages":5},"cluster":{"name":"c","raft_group":"S","replicas":[{"name":"n2"}]}}'
LED = b'{"type":"t","state":{"messages":5},"cluster":{"name":"c","raft_group":"S","leader":"n1","replicas":[]}}'
NO_STREAM = b'{"type":"t","error":{"code":404,"err_code":10059,"description":"stream not found"}}'


def long_ago() -> float:
    return time.monotonic() - ELECTION


@pytest.mark.parametrize("error", [TimeoutError(), nats.errors.TimeoutError(), nats.errors.NoRespondersError()])
def test_no_answer_for_longer_than_an_election_is_told_once(error: Exception) -> None:
    silence = Silence()
    silence.failed(error, long_ago())
    silence.failed(error, time.monotonic())
    assert silence.is_long()
    assert not silence.is_long()


@pytest.mark.parametrize("answer", [LEADERLESS, FORLORN])
def test_what_a_group_says_that_nobody_leads_is_no_answer(answer: bytes) -> None:
    silence = Silence()
    silence.answered(answer, long_ago())
    assert silence.is_long()


def test_an_election_is_waited_for() -> None:
    silence = Silence()
    silence.failed(TimeoutError(), long_ago() + 1)
    assert not silence.is_long()


@pytest.mark.parametrize("answer", [b'{"stream":"s","seq":1}', LED, NO_STREAM])
def test_any_answer_of_jetstream_ends_the_silence(answer: bytes) -> None:
    silence = Silence()
    silence.failed(TimeoutError(), long_ago())
    silence.answered(answer, time.monotonic())
    assert not silence.is_long()


def test_a_fault_of_our_own_is_no_silence() -> None:
    silence = Silence()
    silence.failed(nats.errors.ConnectionClosedError(), long_ago())
    assert not silence.is_long()


def test_another_connection_begins_anew() -> None:
    silence = Silence()
    silence.failed(TimeoutError(), long_ago())
    silence.forget()
    assert not silence.is_long()
