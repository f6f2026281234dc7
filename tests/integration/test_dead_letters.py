"""Dead letters over the real process: nothing of the event is lost, nothing in it steers, and there is one of each."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote
from zlib import crc32

import pytest
import pytest_asyncio

from choregos_contract.ids import FAILURE, dead_letter_record, reply_id, reply_record
from support.service import Handler, always
from support.stage import SERVICE, Outcome, Stage, staged

pytestmark = pytest.mark.asyncio(loop_scope="module")

DELIVERY = {"timeout": "10s", "retry": 1, "backoffDelay": "20ms", "backoffMax": "100ms"}
REACTIONS: dict[str, dict[str, Any]] = {
    "Sorted": {},
    "Packed": {"emits": ["PackingFailed", "Done"], "onFailure": "PackingFailed", "onSuccess": "Done"},
}
WHOLE = {"ce-specversion": "1.0", "ce-source": "/test", "ce-type": "Sorted"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with staged(REACTIONS, delivery=DELIVERY) as stage:
        yield stage


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def narrow_stage() -> AsyncIterator[Stage]:
    """A server that takes messages of 8 KiB."""
    async with staged(REACTIONS, config=f"max_payload: {NARROW}", delivery=DELIVERY) as stage:
        yield stage


NARROW = 8192


async def created(stage: Stage) -> str:
    return str((await stage.bus.api(f"STREAM.INFO.{stage.bus.names.event_stream}"))["created"])


def originals(outcome: Outcome) -> dict[str, str]:
    return dict(json.loads(outcome.letter.headers["Choregos-Original-Headers"]))


# -- what a letter holds


async def test_a_letter_tells_the_whole_story(stage: Stage) -> None:
    outcome = await stage.play(
        "Sorted", always(418, b"short\r\nand  stout\x00 \xc3\xa9"), b'{"n": 1.00}', correlationid="c1", tenant="acme"
    )
    (event,) = [each for each in await stage.bus.events("Sorted") if each.sequence == outcome.sequence]
    letter = outcome.letter
    times = [letter.headers.pop(f"Choregos-{which}-Time") for which in ("First", "Last")]
    first, last = map(datetime.fromisoformat, times)
    assert timedelta() <= last - first < timedelta(seconds=10)
    assert letter.headers == {
        "ce-specversion": "1.0",
        "ce-id": outcome.event_id,
        "ce-source": "/test",
        "ce-type": "Sorted",
        "ce-datacontenttype": "application/json",
        "ce-correlationid": "c1",
        "ce-tenant": "acme",
        "Nats-Msg-Id": dead_letter_record(event_stream(stage), await created(stage), outcome.sequence, SERVICE),
        "Choregos-Wire": "1",
        "Choregos-Reason": "exhausted",
        "Choregos-Service": SERVICE,
        "Choregos-Event": "Sorted",
        "Choregos-Attempts": "2",
        "Choregos-Last-Status": "418",
        "Choregos-Last-Error": "HTTP%20418%20short%20and%20stout%00%20%C3%A9",
        "Choregos-Original-Stream": event_stream(stage),
        "Choregos-Original-Subject": event.subject,
        "Choregos-Original-Sequence": str(outcome.sequence),
        "Choregos-Failure-Emitted": "false",
        "Choregos-Original-Headers": letter.headers["Choregos-Original-Headers"],
    }
    assert originals(outcome) == event.headers
    assert letter.data == b'{"n": 1.00}'
    assert letter.subject == f"choregos.shipping.default.dl.{SERVICE}.Sorted.{crc32(b'c1') % 256}"


def event_stream(stage: Stage) -> str:
    return stage.bus.names.event_stream


@pytest.mark.parametrize("data", [b"", b"\x00\xff\r\n\r\n", bytes(range(256)) * 1000, b' {"n": 1.00, "n":2}\n'])
async def test_the_body_is_kept_byte_for_byte(stage: Stage, data: bytes) -> None:
    assert (await stage.play("Sorted", always(422), data)).letter.data == data


async def test_the_service_s_words_are_kept_but_not_without_end(stage: Stage) -> None:
    outcome = await stage.play("Sorted", always(422, "é".encode() * 100_000))
    said = unquote(outcome.letter.headers["Choregos-Last-Error"])
    assert said.startswith("HTTP 422 éééé")
    assert len(said) <= 300


async def test_words_that_are_not_utf8_are_kept_as_far_as_they_can_be_read(stage: Stage) -> None:
    outcome = await stage.play("Sorted", always(422, b"\xff\xfe bad"))
    assert unquote(outcome.letter.headers["Choregos-Last-Error"]) == "HTTP 422 \ufffd\ufffd bad"


async def test_a_structured_event_is_kept_as_it_came(stage: Stage) -> None:
    document = b'{"specversion":"1.0","id":"s1","source":"/s","type":"Sorted",\n"data":{"n": 1.00}}'
    subject = stage.bus.names.event_subject("Sorted", "s1")
    await stage.publish("Bystander", always(422), event_id="s1")
    headers = {"Content-Type": "application/cloudevents+json"}
    outcome = await stage.outcome(await stage.bus.publish_raw(subject, document, headers), "s1")
    assert outcome.letter.data == document
    assert outcome.letter.headers["Content-Type"] == "application/cloudevents+json"


# -- headers that would steer

HOSTILE: dict[str, dict[str, str]] = {
    "rollup": {"Nats-Rollup": "sub"},
    "expected stream": {"Nats-Expected-Stream": "choregos_shipping_default_events"},
    "expected subject sequence": {"Nats-Expected-Last-Subject-Sequence": "0"},
    "time to live": {"Nats-TTL": "3600"},
    "batch": {"Nats-Batch-Id": "b1", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1"},
    "message id": {"Nats-Msg-Id": "mine"},
    "status 404": {"Status": "404", "Description": "Consumer Not Found"},
    "status 100": {"Status": "100", "Description": "Idle Heartbeat"},
    "status paid": {"Status": "paid"},
    "status 503": {"Status": "503", "Nats-Pending-Messages": "16"},
    "letter": {
        "Choregos-Reason": "none",
        "Choregos-Service": "another",
        "Choregos-Attempts": "0",
        "Choregos-Truncated": "true",
        "Choregos-Failure-Emitted": "true",
        "Choregos-Original-Headers": "{}",
        "Choregos-Verdict": "ack",
    },
    "other letters": {"nats-rollup": "all", "choregos-reason": "none", "STATUS": "404"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lenient_stage(stage: Stage) -> Stage:
    """A stage whose event stream takes headers that the stream of dead letters refuses."""
    name = event_stream(stage)
    config = (await stage.bus.api(f"STREAM.INFO.{name}"))["config"]
    lenient = config | {"allow_rollup_hdrs": True, "allow_msg_ttl": True, "allow_atomic": True}
    assert "error" not in await stage.bus.api(f"STREAM.UPDATE.{name}", lenient)
    return stage


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_header_neither_steers_nor_gets_lost(lenient_stage: Stage, hostile: dict[str, str]) -> None:
    stage = lenient_stage
    event_id = "hostile-" + "-".join(hostile)
    await stage.publish("Bystander", always(422, b"no"), event_id=event_id)
    headers = {**WHOLE, "ce-id": event_id, **hostile}
    subject = stage.bus.names.event_subject("Sorted", event_id)
    outcome = await stage.outcome(await stage.bus.publish_raw(subject, b'{"n": 1}', headers), event_id)
    letter = outcome.letter
    assert letter.data == b'{"n": 1}'
    assert letter.headers["Choregos-Reason"] == "rejected"
    assert letter.headers["Choregos-Service"] == SERVICE
    assert letter.headers["Choregos-Failure-Emitted"] == "false"
    assert "Choregos-Truncated" not in letter.headers
    assert letter.headers["Nats-Msg-Id"] != "mine"
    assert not [name for name in letter.headers if name in hostile and not name.startswith(("Choregos-", "Nats-Msg"))]
    assert hostile.items() <= originals(outcome).items()
    assert not [name for name in outcome.calls[-1].headers if name.startswith(("nats-", "status", "descr"))]
    assert "choregos-verdict" not in outcome.calls[-1].headers


ODD = {
    "brackets in a ce- name": b"ce-a(b): x\r\n",
    "nothing after ce-": b"ce-: x\r\n",
    "a slash in a content-type name": b"content-type/x: y\r\n",
    "bytes that are no UTF-8": b"ce-subject: \xff\xfe\r\nX-Raw: \xff\r\n",
    "no colon": b"nonsense\r\n",
    "an attribute twice": b"ce-subject: one\r\nce-subject: another\r\n",
    "two hundred times the same header": b"X-Odd: y\r\n" * 200,
    "a lone line feed": b"X-Odd: a\nNats-Rollup: all\r\n",
    "a header of 40 KB": b"X-Long: " + b"x" * 40_000 + b"\r\n",
    "an attribute of 40 KB": b"ce-long: " + b"x" * 40_000 + b"\r\n",
    "two thousand headers": b"".join(b"X-%d: y\r\n" % n for n in range(2000)),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
async def test_an_event_with_odd_headers_never_sticks(stage: Stage, odd: bytes) -> None:
    """A client of another make wrote it. Whether it is an event or not, it ends as a letter with its body."""
    number = len(await stage.bus.events())
    event_id = f"odd-{number}"
    await stage.publish("Bystander", always(422), event_id=event_id)
    sequence = await publish_bytes(stage, event_id, odd)
    outcome = await stage.outcome(sequence)
    assert outcome.letter.headers["Choregos-Reason"] in ("rejected", "not-an-event", "exhausted")
    assert outcome.letter.data == b"odd" or "Choregos-Truncated" in outcome.letter.headers


async def publish_bytes(stage: Stage, event_id: str, extra: bytes) -> int:
    """Store an event with a header block that nats-py would not write; returns its sequence."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.server.port)
    try:
        own = "".join(f"{name}: {value}\r\n" for name, value in {**WHOLE, "ce-id": event_id}.items())
        block = b"NATS/1.0\r\n" + own.encode() + extra + b"\r\n"
        subject = stage.bus.names.event_subject("Sorted", event_id)
        writer.write(b'CONNECT {"verbose":false,"headers":true}\r\nSUB answer 1\r\n')
        writer.write(f"HPUB {subject} answer {len(block)} {len(block) + 3}\r\n".encode() + block + b"odd\r\n")
        async with asyncio.timeout(10):
            while not (line := await reader.readline()).startswith(b"MSG"):
                assert line, "the server hung up"
                assert not line.startswith(b"-ERR"), line
            return int(json.loads(await reader.readline())["seq"])
    finally:
        writer.close()


# -- the failure event


@pytest.mark.parametrize(
    ("reason", "answer"),
    [
        ("exhausted", always(500)),
        ("rejected", always(422)),
        ("invalid-reply", always(200, b"thanks", Content_Type="text/plain")),
        ("reply-too-large", always(200, b"1" * 1_100_000, Content_Type="application/json")),
    ],
)
async def test_a_failure_event_says_what_failed_and_why(stage: Stage, reason: str, answer: Any) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    given = {"correlationid": "c7", "partitionkey": "p7", "choregoshops": "2", "traceparent": trace, "tenant": "acme"}
    outcome = await stage.play("Packed", answer, b'{"n": 1.00}', dataschema="/schemas/1", **given)
    (failure,) = outcome.replies
    derived = reply_id("/test", outcome.event_id, SERVICE, "Packed", FAILURE)
    assert failure.data == b'{"n": 1.00}'
    assert failure.headers.pop("ce-time")
    assert failure.headers == {
        "ce-specversion": "1.0",
        "ce-id": derived,
        "ce-source": f"/shipping/{SERVICE}",
        "ce-type": "PackingFailed",
        "ce-datacontenttype": "application/json",
        "ce-dataschema": "/schemas/1",
        "ce-choregosreason": reason,
        "ce-choregosreaction": f"{SERVICE}/Packed",
        "ce-correlationid": "c7",
        "ce-causationid": outcome.event_id,
        "ce-choregoshops": "3",
        "ce-partitionkey": "p7",
        "ce-traceparent": trace,
        "Nats-Msg-Id": reply_record(derived),
        "Choregos-Wire": "1",
    }
    assert failure.subject == f"choregos.shipping.default.ev.PackingFailed.{crc32(b'p7') % 16}.{crc32(b'c7') % 256}"
    assert outcome.letter.headers["Choregos-Failure-Emitted"] == "true"
    assert outcome.letter.headers["Choregos-Reason"] == reason


async def test_a_retry_that_may_still_go_well_emits_no_failure(stage: Stage) -> None:
    answers = [always(500), always(200, b"1", Content_Type="application/json")]
    outcome = await stage.play("Packed", lambda call: answers[int(call.headers["choregos-attempt"]) - 1](call))
    assert [each.headers["ce-type"] for each in outcome.replies] == ["Done"]
    assert outcome.letters == []


async def test_what_goes_round_in_circles_emits_no_failure(stage: Stage) -> None:
    outcome = await stage.play("Packed", always(204), choregoshops="65")
    assert outcome.replies == []
    assert outcome.letter.headers["Choregos-Failure-Emitted"] == "false"


async def test_what_is_no_event_emits_no_failure(stage: Stage) -> None:
    before = len(await stage.bus.events("PackingFailed"))
    sequence = await stage.bus.publish_raw(stage.bus.names.event_subject("Packed", "x"), b"{}", {"X-Kind": "Packed"})
    assert (await stage.outcome(sequence)).letter.headers["Choregos-Failure-Emitted"] == "false"
    assert len(await stage.bus.events("PackingFailed")) == before


# -- letters that do not fit


@pytest.mark.parametrize("event", ["Sorted", "Packed"])
async def test_a_letter_that_does_not_fit_says_where_the_event_stands(narrow_stage: Stage, event: str) -> None:
    outcome = await narrow_stage.play(event, always(422, "é".encode() * 400), b"x" * (NARROW - 500))
    letter = outcome.letter
    assert letter.data == b""
    assert letter.headers["Choregos-Truncated"] == "true"
    assert letter.headers["Choregos-Original-Stream"] == event_stream(narrow_stage)
    assert letter.headers["Choregos-Original-Sequence"] == str(outcome.sequence)
    assert letter.headers["Choregos-Reason"] == "rejected"
    assert letter.headers["Choregos-Last-Status"] == "422"
    assert letter.headers["Choregos-Service"] == SERVICE
    assert letter.headers["Nats-Msg-Id"]
    assert "Choregos-Original-Headers" not in letter.headers


async def test_a_failure_event_that_does_not_fit_is_not_said_to_be_emitted(narrow_stage: Stage) -> None:
    outcome = await narrow_stage.play("Packed", always(422), b"x" * (NARROW - 250))
    assert outcome.replies == []
    assert outcome.letter.headers["Choregos-Failure-Emitted"] == "false"


async def test_no_size_of_an_event_costs_the_connection_or_the_letter(narrow_stage: Stage) -> None:
    """Around the size at which whole letters end, and up to the largest event that the server takes."""
    stage = narrow_stage
    sizes = [*range(6300, 7300, 50), *range(NARROW - 230, NARROW - 170, 10)]
    played = [await stage.publish("Packed", always(422), b"x" * size) for size in sizes]
    letters = [(await stage.outcome(*each)).letter for each in played]
    whole = [len(letter.data) for letter in letters if "Choregos-Truncated" not in letter.headers]
    assert 0 < len(whole) < len(sizes)
    assert whole == sizes[: len(whole)], "the smaller ones are whole"
    assert not [line for line in stage.ambassador.lines if line["message"] in ("disconnected", "nats", "bug")]


async def test_no_size_of_replies_costs_the_connection(narrow_stage: Stage) -> None:
    """Two replies that just fit, one by one, do not as parts of an atomic batch, whose headers come on top."""
    stage = narrow_stage

    def answer(size: int) -> Handler:
        replies = [{"specversion": "1.0", "id": n, "source": "/s", "type": "Done", "data": "x" * size} for n in "ab"]
        return always(200, json.dumps(replies).encode(), Content_Type="application/cloudevents-batch+json")

    played = [await stage.publish("Packed", answer(size)) for size in range(NARROW - 700, NARROW - 300, 10)]
    outcomes = [await stage.outcome(*each) for each in played]
    stored = [[each.headers["ce-type"] for each in outcome.replies] for outcome in outcomes]
    taken = stored.count(["Done", "Done"])
    assert 0 < taken < len(played)
    assert stored == [["Done", "Done"]] * taken + [["PackingFailed"]] * (len(played) - taken)
    assert not [line for line in stage.ambassador.lines if line["message"] in ("disconnected", "nats", "bug")]


async def test_a_reply_with_more_headers_than_a_stream_takes_is_too_large(stage: Stage) -> None:
    reply = {"specversion": "1.0", "id": "r", "source": "/s", "type": "Done", "long": "x" * 70_000}
    answer = always(200, json.dumps(reply).encode(), Content_Type="application/cloudevents+json")
    outcome = await stage.play("Packed", answer)
    assert outcome.letter.headers["Choregos-Reason"] == "reply-too-large"


# -- one letter of each


async def test_an_event_that_is_processed_twice_stores_one_letter_and_one_failure_event(stage: Stage) -> None:
    outcome = await stage.play("Packed", always(422))
    durable, name = stage.bus.names.durable(SERVICE, "Packed"), event_stream(stage)
    info = await stage.bus.durable(SERVICE, "Packed")
    await stage.bus.until_settled(SERVICE, "Packed")
    await stage.bus.api(f"CONSUMER.DELETE.{name}.{durable}")
    again = {**info["config"], "deliver_policy": "by_start_sequence", "opt_start_seq": outcome.sequence}
    again.pop("opt_start_time", None)
    answer = await stage.bus.api(f"CONSUMER.CREATE.{name}.{durable}", {"stream_name": name, "config": again})
    assert "error" not in answer
    await stage.ambassador.until(lambda: len(hops_of(stage, outcome.sequence)) == 2)
    second = await stage.outcome(outcome.sequence, outcome.event_id)
    assert len(second.calls) == 2
    assert [each.headers["ce-type"] for each in second.replies] == ["PackingFailed"]
    assert second.letter == outcome.letter


def hops_of(stage: Stage, sequence: int) -> list[dict[str, Any]]:
    return [hop for hop in stage.ambassador.hops("dead-letter") if hop["sequence"] == sequence]


async def test_a_redriven_event_that_fails_again_stores_a_second_letter(stage: Stage) -> None:
    outcome = await stage.play("Sorted", always(422), b"body", correlationid="c3")
    headers = {**originals(outcome), "Nats-Msg-Id": "redrive-1"}
    subject = stage.bus.names.redrive_subject(SERVICE, "Sorted", "c3")
    again = await stage.outcome(await stage.bus.publish_raw(subject, b"body", headers), outcome.event_id)
    assert again.letter.data == b"body"
    assert again.letter.headers["ce-id"] == outcome.event_id
    assert again.letter.headers["Choregos-Original-Subject"] == subject
    assert again.letter.subject == outcome.letter.subject
