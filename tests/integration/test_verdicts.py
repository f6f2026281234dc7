"""The verdict table, row by row, over the real process: what the service answers, and what is on the bus afterwards."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from zlib import crc32

import pytest
import pytest_asyncio
from aiohttp import web
from msgspec.structs import replace

from choregos_contract.ids import event_record, reply_id, reply_record
from support.ports import free_port
from support.service import Call, Handler, Service, always
from support.stage import SERVICE, Outcome, Stage, staged

pytestmark = pytest.mark.asyncio(loop_scope="module")

RETRIES = 1
DELIVERY = {"timeout": "10s", "retry": RETRIES, "backoffDelay": "20ms", "backoffMax": "100ms"}
EVENT = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

RAW_ANSWERS = {
    "CutBeforeAnswer": b"",
    "CutInHeaders": b"HTTP/1.1 200 OK\r\nContent-",
    "CutInBody": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    "CutInChunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    "NotHttp": b"220 mail.example ESMTP\r\n",
    "BadLength": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    "Endless": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + 50 * (b"64\r\n" + 100 * b"x" + b"\r\n"),
}
"""What a service writes before it closes the connection, by the event that it answers so."""

REACTIONS: dict[str, dict[str, Any]] = {
    "Plain": {},
    "Emitting": {"emits": ["Done", "Other"]},
    "Converting": {"emits": ["Done"], "onSuccess": "Done"},
    "Requiring": {"emits": ["Done"], "required": True},
    "Picky": {"delivery": {"reject": [400, 503], "retryOn": [410, 501]}},
    "Hurried": {"delivery": {"timeout": "100ms"}},
    "Terse": {"emits": ["Done"], "onSuccess": "Done", "delivery": {"maxReplyBytes": 1000}},
    "Roomy": {"emits": ["Done"], "onSuccess": "Done", "delivery": {"maxReplyBytes": "4Mi"}},
    "Impatient": {"delivery": {"backoffMax": "300ms"}},
    "Heedful": {"delivery": {"backoffMax": "5s"}},
    "Ahead": {"emits": ["Done"], "delivery": {"retry": 100, "backoffDelay": "50ms", "backoffMax": "50ms"}},
    "Failing": {"emits": ["Failed"], "onFailure": "Failed"},
    "Endless": {"delivery": {"maxReplyBytes": 1000}},
}


@asynccontextmanager
async def raw_service(answer: bytes) -> AsyncIterator[int]:
    """A service that reads the head of a request, writes these bytes, and hangs up; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    reactions = dict(REACTIONS)
    reactions["Unreachable"] = {"port": free_port(), "delivery": {"retry": 0, "backoffDelay": "10ms"}}
    async with AsyncExitStack() as stack:
        for event, answer in RAW_ANSWERS.items():
            reactions[event] = {
                **reactions.get(event, {}),
                "port": await stack.enter_async_context(raw_service(answer)),
            }
        yield await stack.enter_async_context(staged(reactions, delivery=DELIVERY))


def plain_json(document: str = '{"ok": 1.00, "ok":2}', status: int = 200, **headers: str) -> Handler:
    return always(status, document.encode(), **{"Content_Type": "application/json", **headers})


def structured(*, status: int = 200, **changes: Any) -> Handler:
    return always(status, json.dumps(reply(**changes)).encode(), Content_Type=EVENT)


def batched(*replies: dict[str, Any]) -> Handler:
    return always(200, json.dumps(replies).encode(), Content_Type=BATCH)


def reply(**changes: Any) -> dict[str, Any]:
    """A CloudEvent of a service's own making; a change to None takes the member out."""
    event = {"specversion": "1.0", "id": "r1", "source": "/theirs", "type": "Done", "data": {"n": 1}} | changes
    return {name: value for name, value in event.items() if value is not None}


def is_done(outcome: Outcome, *replies: str) -> bool:
    """One call, these next hops, no dead letter."""
    assert [each.headers["ce-type"] for each in outcome.replies] == list(replies)
    assert outcome.letters == []
    assert len(outcome.calls) == 1
    assert [hop["verdict"] for hop in outcome.hops] == ["done"]
    return True


def is_buried(outcome: Outcome, reason: str, *, calls: int, status: int | None) -> bool:
    """So many calls, then a dead letter that says why, and no next hop."""
    letter = outcome.letter.headers
    assert letter["Choregos-Reason"] == reason
    assert letter.get("Choregos-Last-Status") == (None if status is None else str(status))
    assert letter["Choregos-Attempts"] == str(max(calls, 1))
    assert outcome.replies == []
    assert [call.headers["choregos-attempt"] for call in outcome.calls] == [str(n + 1) for n in range(calls)]
    assert [hop["verdict"] for hop in outcome.hops] == ["retry"] * (calls - 1) + ["dead-letter"]
    return True


# -- 2xx with CloudEvents


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_a_2xx_without_a_body_ends_the_hop(stage: Stage, status: int) -> None:
    assert is_done(await stage.play("Plain", always(status)))


async def test_a_binary_reply_is_the_next_hop(stage: Stage) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "r1", "ce-source": "/theirs", "ce-type": "Done"}
    answer = always(200, b"\x00\xff\r\n raw", Content_Type="application/octet-stream", **headers)
    outcome = await stage.play("Emitting", answer)
    assert is_done(outcome, "Done")
    assert outcome.replies[0].data == b"\x00\xff\r\n raw"
    assert outcome.replies[0].headers["ce-datacontenttype"] == "application/octet-stream"


async def test_a_structured_reply_is_the_next_hop_and_its_data_keeps_every_byte(stage: Stage) -> None:
    document = b'{"specversion":"1.0","id":"r1","source":"/theirs","type":"Other","data":{"n": 1.00,  "n":2e400}}'
    outcome = await stage.play("Emitting", always(200, document, Content_Type=f"{EVENT}; charset=utf-8"))
    assert is_done(outcome, "Other")
    assert outcome.replies[0].data == b'{"n": 1.00,  "n":2e400}'


async def test_a_batch_of_replies_is_that_many_next_hops_in_order(stage: Stage) -> None:
    outcome = await stage.play("Emitting", batched(reply(), reply(type="Other", id="r2"), reply(id="r3")))
    assert is_done(outcome, "Done", "Other", "Done")
    assert [each.headers["ce-replyid"] for each in outcome.replies] == ["r1", "r2", "r3"]
    expected = [reply_id("/test", outcome.event_id, SERVICE, "Emitting", index) for index in range(3)]
    assert [each.headers["ce-id"] for each in outcome.replies] == expected


async def test_an_empty_batch_is_no_next_hop(stage: Stage) -> None:
    assert is_done(await stage.play("Emitting", batched()))


async def test_a_reply_beside_on_success_is_taken_as_the_event_that_it_is(stage: Stage) -> None:
    outcome = await stage.play("Converting", structured())
    assert is_done(outcome, "Done")
    assert outcome.replies[0].data == b'{"n": 1}'


async def test_an_event_in_an_answer_that_is_no_2xx_is_no_reply(stage: Stage) -> None:
    assert is_buried(await stage.play("Emitting", structured(status=422)), "rejected", calls=1, status=422)


async def test_a_reply_on_the_bus_has_its_place_in_the_transaction(stage: Stage) -> None:
    parent: dict[str, Any] = {
        "correlationid": "order-77",
        "partitionkey": "customer-5",
        "choregoshops": "3",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "vendor=1",
        "tenant": "acme",
    }
    time = "2026-01-02T03:04:05+02:00"
    stolen: dict[str, Any] = {
        "correlationid": "another",
        "causationid": "another",
        "choregoshops": "0",
        "replyid": "another",
    }
    answer = structured(id="mine", time=time, region="nörd", datacontenttype="application/json", **stolen)
    outcome = await stage.play("Emitting", answer, **parent)
    assert is_done(outcome, "Done")
    stored = outcome.replies[0]
    derived = reply_id("/test", outcome.event_id, SERVICE, "Emitting", 0)
    assert stored.headers == {
        "ce-specversion": "1.0",
        "ce-id": derived,
        "ce-replyid": "mine",
        "ce-source": "/theirs",
        "ce-type": "Done",
        "ce-time": time,
        "ce-datacontenttype": "application/json",
        "ce-region": "n%C3%B6rd",
        "ce-correlationid": "order-77",
        "ce-causationid": outcome.event_id,
        "ce-choregoshops": "4",
        "ce-partitionkey": "customer-5",
        "ce-traceparent": parent["traceparent"],
        "ce-tracestate": "vendor=1",
        "Nats-Msg-Id": reply_record(derived),
        "Choregos-Wire": "1",
    }
    partition, shard = crc32(b"customer-5") % 16, crc32(b"order-77") % 256
    assert stored.subject == f"choregos.shipping.default.ev.Done.{partition}.{shard}"


async def test_a_reply_keeps_the_partition_key_and_the_trace_that_it_brings(stage: Stage) -> None:
    own = "00-11111111111111111111111111111111-2222222222222222-01"
    answer = structured(partitionkey="mine", traceparent=own)
    outcome = await stage.play("Emitting", answer, correlationid="c9", partitionkey="parent's")
    assert outcome.replies[0].headers["ce-traceparent"] == own
    expected = f"choregos.shipping.default.ev.Done.{crc32(b'mine') % 16}.{crc32(b'c9') % 256}"
    assert outcome.replies[0].subject == expected


async def test_headers_of_an_answer_do_not_steer_the_bus(stage: Stage) -> None:
    hostile: dict[str, Any] = {
        "Nats-Msg-Id": "x",
        "Nats-Rollup": "all",
        "Nats-Expected-Stream": "x",
        "Choregos-Wire": "9",
        "Status": "404",
    }
    outcome = await stage.play("Converting", plain_json(**hostile))
    assert is_done(outcome, "Done")
    assert {name for name in outcome.replies[0].headers if not name.startswith("ce-")} == {
        "Nats-Msg-Id",
        "Choregos-Wire",
    }


# -- 2xx with something else


async def test_plain_json_becomes_the_data_of_on_success(stage: Stage) -> None:
    outcome = await stage.play("Converting", plain_json('{"ok": 1.00, "ok":2}\n'), correlationid="c1")
    assert is_done(outcome, "Done")
    stored = outcome.replies[0]
    assert stored.data == b'{"ok": 1.00, "ok":2}\n'
    assert stored.headers["ce-source"] == f"/shipping/{SERVICE}"
    assert stored.headers["ce-datacontenttype"] == "application/json"
    assert stored.headers["ce-id"] == reply_id("/test", outcome.event_id, SERVICE, "Converting", 0)
    assert stored.headers["ce-correlationid"] == "c1"
    assert stored.headers["ce-choregoshops"] == "1"
    assert "ce-time" in stored.headers
    assert "ce-replyid" not in stored.headers


async def test_a_json_suffix_is_json_too(stage: Stage) -> None:
    outcome = await stage.play("Converting", plain_json(Content_Type="application/hal+json; charset=utf-8"))
    assert is_done(outcome, "Done")
    assert outcome.replies[0].headers["ce-datacontenttype"] == "application/hal+json;%20charset=utf-8"


@pytest.mark.parametrize("event", ["Plain", "Emitting"])
async def test_plain_json_without_on_success_is_no_next_hop(stage: Stage, event: str) -> None:
    assert is_done(await stage.play(event, plain_json()))


async def test_a_body_that_is_no_json_is_no_next_hop(stage: Stage) -> None:
    assert is_done(await stage.play("Plain", always(200, b"thanks", Content_Type="text/plain")))


@pytest.mark.parametrize(
    ("event", "answer"),
    [
        ("Converting", always(204)),
        ("Converting", always(200)),
        ("Converting", always(200, b"thanks", Content_Type="text/plain")),
        ("Converting", always(200, b"<html>{}</html>", Content_Type="text/html")),
        ("Converting", always(200, b"", Content_Type="application/json")),
        ("Converting", always(200, gzip.compress(b"{}"), Content_Type="application/json", Content_Encoding="gzip")),
        ("Converting", always(200, b"{'ok'", Content_Type="application/json")),
        ("Converting", always(200, b'"\xff"', Content_Type="application/json")),
        ("Requiring", always(204)),
        ("Requiring", plain_json()),
        ("Requiring", batched()),
    ],
)
async def test_an_answer_that_lacks_the_next_hop_is_an_invalid_reply(stage: Stage, event: str, answer: Handler) -> None:
    outcome = await stage.play(event, answer)
    status = int(outcome.letter.headers["Choregos-Last-Status"])
    assert 200 <= status < 300
    assert is_buried(outcome, "invalid-reply", calls=1, status=status)


BROKEN = {
    "not JSON": always(200, b"{", Content_Type=EVENT),
    "not UTF-8": always(200, b'{"id": "\xff"}', Content_Type=EVENT),
    "endless nesting": always(200, b'{"data":' + b"[" * 100_000, Content_Type=EVENT),
    "an array": always(200, b"[]", Content_Type=EVENT),
    "no batch": always(200, b"{}", Content_Type=BATCH),
    "unknown format": always(200, b"{}", Content_Type="application/cloudevents+avro"),
    "no id": structured(id=None),
    "no source": structured(source=None),
    "no type": structured(type=None),
    "old version": structured(specversion="0.3"),
    "no time": structured(time="yesterday"),
    "bad name": structured(Upper_Case="x"),
    "two datas": structured(data_base64="AAAA"),
    "control character": structured(region="a\nb"),
    "binary without id": always(200, b"{}", **{"ce-specversion": "1.0", "ce-source": "/s", "ce-type": "Done"}),
    "one in a batch": batched(reply(), reply(id="r2", source=None)),
    "too many": batched(*(reply(id=str(n)) for n in range(1001))),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_reply_is_buried_at_once_and_nothing_of_it_is_published(stage: Stage, answer: Handler) -> None:
    assert is_buried(await stage.play("Emitting", answer), "invalid-reply", calls=1, status=200)


@pytest.mark.parametrize(
    "answer", [structured(type="Undeclared"), batched(reply(), reply(id="r2", type="Undeclared"), reply(id="r3"))]
)
async def test_an_undeclared_reply_is_retried_then_buried_and_nothing_is_published(
    stage: Stage, answer: Handler
) -> None:
    outcome = await stage.play("Emitting", answer)
    assert is_buried(outcome, "invalid-reply", calls=RETRIES + 1, status=200)
    assert "Undeclared" in outcome.letter.headers["Choregos-Last-Error"]


async def test_an_undeclared_reply_is_taken_once_the_configuration_has_caught_up(stage: Stage) -> None:
    sequence, event_id = await stage.publish("Ahead", structured(type="Newer"))
    await stage.ambassador.logged("hop", sequence=sequence, verdict="retry")
    reactions = [
        replace(each, emits=(*each.emits, "Newer")) if each.event == "Ahead" else each
        for each in stage.configuration.reactions
    ]
    stage.ambassador.configure(replace(stage.configuration, generation=2, reactions=tuple(reactions)))
    outcome = await stage.outcome(sequence, event_id)
    assert [each.headers["ce-type"] for each in outcome.replies] == ["Newer"]
    assert outcome.letters == []


async def test_too_large_a_body_is_buried_at_once(stage: Stage) -> None:
    assert is_done(await stage.play("Terse", plain_json('"' + "x" * 998 + '"')), "Done")
    outcome = await stage.play("Terse", plain_json('"' + "x" * 999 + '"'))
    assert is_buried(outcome, "reply-too-large", calls=1, status=200)
    assert "1000 bytes" in outcome.letter.headers["Choregos-Last-Error"].replace("%20", " ")


async def test_too_large_a_body_without_an_announced_length_is_buried_at_once(stage: Stage) -> None:
    outcome = await stage.play("Endless", always())
    assert [hop["verdict"] for hop in outcome.hops] == ["dead-letter"]
    assert outcome.letter.headers["Choregos-Reason"] == "reply-too-large"


async def test_a_reply_that_no_nats_message_holds_is_buried_at_once(stage: Stage) -> None:
    outcome = await stage.play("Roomy", plain_json('"' + "x" * 1_200_000 + '"'))
    assert is_buried(outcome, "reply-too-large", calls=1, status=200)


async def test_one_reply_that_is_too_large_keeps_the_whole_batch_off_the_bus(stage: Stage) -> None:
    answer = batched(reply(), reply(id="r2", data="x" * 1_200_000))
    assert is_buried(await stage.play("Roomy", answer), "reply-too-large", calls=1, status=200)


# -- statuses

RETRIED = [300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 406, 407, 408, 409, 411, 412, 414, 416, 418, 421, 423]
RETRIED += [424, 425, 426, 428, 429, 431, 451, 499, 500, 502, 503, 504, 505, 507, 511, 599]


@pytest.mark.parametrize("status", RETRIED)
async def test_a_status_is_retried_then_exhausted(stage: Stage, status: int) -> None:
    outcome = await stage.play("Plain", always(status, b"because of this", Location="/elsewhere"))
    assert is_buried(outcome, "exhausted", calls=RETRIES + 1, status=status)
    assert {call.path for call in outcome.calls} == {"/Plain"}, "a redirect is not followed"
    assert "because of this" in outcome.letter.headers["Choregos-Last-Error"].replace("%20", " ")


async def test_not_modified_is_retried_then_exhausted(stage: Stage) -> None:
    assert is_buried(await stage.play("Plain", always(304)), "exhausted", calls=RETRIES + 1, status=304)


@pytest.mark.parametrize("status", [410, 413, 415, 422, 501])
async def test_a_status_is_rejected_at_once(stage: Stage, status: int) -> None:
    assert is_buried(await stage.play("Plain", always(status)), "rejected", calls=1, status=status)


@pytest.mark.parametrize("status", [400, 503])
async def test_delivery_reject_moves_a_status(stage: Stage, status: int) -> None:
    assert is_buried(await stage.play("Picky", always(status)), "rejected", calls=1, status=status)


@pytest.mark.parametrize("status", [410, 501])
async def test_delivery_retry_on_moves_a_status(stage: Stage, status: int) -> None:
    outcome = await stage.play("Picky", always(status))
    assert is_buried(outcome, "exhausted", calls=RETRIES + 1, status=status)


@pytest.mark.parametrize("status", [413, 415, 422])
async def test_statuses_that_the_delivery_does_not_name_keep_their_row(stage: Stage, status: int) -> None:
    assert is_buried(await stage.play("Picky", always(status)), "rejected", calls=1, status=status)


async def test_a_retry_that_goes_well_ends_the_hop(stage: Stage) -> None:
    answers = [always(500), plain_json()]
    outcome = await stage.play("Converting", lambda call: answers[int(call.headers["choregos-attempt"]) - 1](call))
    assert [hop["verdict"] for hop in outcome.hops] == ["retry", "done"]
    assert [each.headers["ce-type"] for each in outcome.replies] == ["Done"]
    assert outcome.letters == []
    assert len({call.headers["idempotency-key"] for call in outcome.calls}) == 1


# -- the service's own word


@pytest.mark.parametrize("status", [200, 204, 302, 400, 410, 422, 429, 500, 501])
async def test_the_verdict_header_acknowledges_any_status(stage: Stage, status: int) -> None:
    assert is_done(await stage.play("Plain", always(status, Choregos_Verdict="ack")))


@pytest.mark.parametrize("status", [200, 204, 302, 400, 410, 422, 500, 501])
async def test_the_verdict_header_retries_any_status(stage: Stage, status: int) -> None:
    outcome = await stage.play("Plain", always(status, Choregos_Verdict="retry"))
    assert is_buried(outcome, "exhausted", calls=RETRIES + 1, status=status)


@pytest.mark.parametrize("status", [200, 204, 302, 400, 410, 429, 500])
async def test_the_verdict_header_rejects_any_status(stage: Stage, status: int) -> None:
    outcome = await stage.play("Plain", always(status, Choregos_Verdict="reject"))
    assert is_buried(outcome, "rejected", calls=1, status=status)


async def test_the_verdict_header_has_the_last_word_over_reject_and_retry_on(stage: Stage) -> None:
    assert is_done(await stage.play("Picky", always(400, Choregos_Verdict="ack")))
    outcome = await stage.play("Picky", always(410, Choregos_Verdict="reject"))
    assert is_buried(outcome, "rejected", calls=1, status=410)


async def test_a_reply_in_an_answer_that_is_acknowledged_by_header_counts(stage: Stage) -> None:
    assert is_done(await stage.play("Converting", plain_json(status=409, Choregos_Verdict="ack")), "Done")


@pytest.mark.parametrize("word", ["retry", "reject"])
async def test_a_reply_in_an_answer_that_is_not_acknowledged_is_not_published(stage: Stage, word: str) -> None:
    outcome = await stage.play("Converting", plain_json(Choregos_Verdict=word))
    assert outcome.replies == []
    assert outcome.letter


async def test_the_verdict_header_is_read_in_any_case(stage: Stage) -> None:
    assert is_done(await stage.play("Plain", always(500, Choregos_Verdict=" ACK ")))


async def test_an_unknown_verdict_header_changes_nothing(stage: Stage) -> None:
    outcome = await stage.play("Plain", always(422, Choregos_Verdict="perhaps"))
    assert is_buried(outcome, "rejected", calls=1, status=422)


# -- backoff


@pytest.mark.parametrize("status", [409, 503])
async def test_retry_after_is_honoured(stage: Stage, status: int) -> None:
    outcome = await stage.play("Heedful", always(status, Retry_After="1"))
    assert outcome.hops[0]["delay_s"] == 1.0
    assert outcome.calls[1].at - outcome.calls[0].at >= 0.95


async def test_retry_after_is_honoured_up_to_backoff_max(stage: Stage) -> None:
    outcome = await stage.play("Impatient", always(503, Retry_After="3600"))
    assert outcome.hops[0]["delay_s"] == 0.3
    assert outcome.calls[1].at - outcome.calls[0].at >= 0.28


@pytest.mark.parametrize("value", ["soon", "-5", "Wed, 21 Oct 2015 07:28:00 GMT"])
async def test_a_retry_after_that_says_nothing_leaves_the_backoff_as_it_is(stage: Stage, value: str) -> None:
    outcome = await stage.play("Heedful", always(503, Retry_After=value))
    assert 0 <= outcome.hops[0]["delay_s"] <= 0.02


# -- no answer


async def test_a_time_out_is_retried_then_exhausted(stage: Stage) -> None:
    never = asyncio.Event()

    async def hang(_: Call) -> web.Response:
        await never.wait()
        return web.Response()

    outcome = await stage.play("Hurried", hang)
    never.set()
    assert is_buried(outcome, "exhausted", calls=RETRIES + 1, status=None)
    assert outcome.letter.headers["Choregos-Last-Error"].startswith("timeout")
    assert all(hop["duration_ms"] > 95 for hop in outcome.hops)


@pytest.mark.parametrize(
    ("event", "trouble"),
    [
        ("CutBeforeAnswer", "cut"),
        ("CutInHeaders", "cut"),
        ("CutInBody", "cut"),
        ("CutInChunks", "cut"),
        ("NotHttp", "malformed"),
        ("BadLength", "malformed"),
    ],
)
async def test_a_connection_that_breaks_is_retried_then_exhausted(stage: Stage, event: str, trouble: str) -> None:
    outcome = await stage.play(event, always())
    assert [hop["verdict"] for hop in outcome.hops] == ["retry"] * RETRIES + ["dead-letter"]
    assert outcome.letter.headers["Choregos-Reason"] == "exhausted"
    assert outcome.letter.headers["Choregos-Last-Error"].startswith(trouble)
    assert "Choregos-Last-Status" not in outcome.letter.headers


async def test_a_refused_connection_is_no_attempt_however_often_it_comes(stage: Stage) -> None:
    """`retry` is 0 here: a single attempt would be the last. Two dozen refusals are past every bound of deliveries."""
    sequence, event_id = await stage.publish("Unreachable", always(204))
    refusals = 25

    def refused() -> list[dict[str, Any]]:
        return [hop for hop in stage.ambassador.hops("hand-back") if hop["sequence"] == sequence]

    await stage.ambassador.until(lambda: len(refused()) >= refusals)
    assert await stage.bus.dead_letters(of=sequence) == []
    assert all("unreachable" in hop["error"] for hop in refused())
    late = Service(port=next(each.port for each in stage.configuration.reactions if each.event == "Unreachable"))
    async with late:
        outcome = await stage.outcome(sequence, event_id)
    assert len(late.calls) == 1
    assert outcome.letters == []
    assert outcome.hops[-1]["verdict"] == "done"


# -- what comes from the bus


async def test_the_service_sees_the_whole_event(stage: Stage) -> None:
    attributes = {
        "correlationid": "order/77 é",
        "causationid": "cause-1",
        "choregoshops": "2",
        "subject": "parcels/5 €",
        "time": "2026-01-02T03:04:05.120Z",
        "tenant": "acme",
        "datacontenttype": "application/vnd.order+json",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "vendor=1",
    }
    body = b' {"n": 1.00,\r\n "n":2}\n\x00\xff'
    outcome = await stage.play("Plain", always(204), body, **attributes)
    (call,) = outcome.calls
    assert call.path == "/Plain"
    assert call.body == body
    assert call.headers == {
        "host": f"127.0.0.1:{stage.service.port}",
        "user-agent": "choregos-ambassador",
        "content-type": "application/vnd.order+json",
        "content-length": str(len(body)),
        "prefer": "reply",
        "ce-specversion": "1.0",
        "ce-id": outcome.event_id,
        "ce-source": "/test",
        "ce-type": "Plain",
        "ce-time": "2026-01-02T03:04:05.120Z",
        "ce-subject": "parcels/5%20%E2%82%AC",
        "ce-tenant": "acme",
        "ce-correlationid": "order/77%20%C3%A9",
        "ce-causationid": "cause-1",
        "ce-choregoshops": "2",
        "ce-traceparent": attributes["traceparent"],
        "ce-tracestate": "vendor=1",
        "x-correlation-id": "order/77%20%C3%A9",
        "idempotency-key": event_record("/test", outcome.event_id),
        "choregos-attempt": "1",
        "traceparent": attributes["traceparent"],
        "tracestate": "vendor=1",
    }


async def test_an_event_without_a_correlation_id_begins_a_transaction_of_its_own(stage: Stage) -> None:
    outcome = await stage.play("Converting", plain_json())
    assert outcome.calls[0].headers["x-correlation-id"] == outcome.event_id
    assert outcome.replies[0].headers["ce-correlationid"] == outcome.event_id


async def test_a_body_of_any_size_and_content_arrives_byte_for_byte(stage: Stage) -> None:
    body = bytes(range(256)) * 2000
    outcome = await stage.play("Plain", always(204), body, datacontenttype="application/octet-stream")
    assert outcome.calls[0].body == body


async def test_a_structured_event_reaches_the_service_in_binary_mode(stage: Stage) -> None:
    document = b'{"specversion":"1.0","id":"s1","source":"/s","type":"Plain","data":{"n": 1.00}}'
    subject = stage.bus.names.event_subject("Plain", "s1")
    outcome = await stage.outcome(await stage.bus.publish_raw(subject, document, {"Content-Type": EVENT}), "s1")
    assert is_done(outcome)
    assert outcome.calls[0].body == b'{"n": 1.00}'
    assert outcome.calls[0].headers["content-type"] == "application/json"


async def test_of_a_key_that_stands_twice_in_a_structured_event_the_last_counts(stage: Stage) -> None:
    """As most readers of JSON have it (RFC 8259, section 4), so that producer and service see the same event."""
    document = b'{"specversion":"1.0","id":"twice-1","id":"twice-2","source":"/s","type":"Plain","data":1,"data":2}'
    subject = stage.bus.names.event_subject("Plain", "twice-2")
    outcome = await stage.outcome(await stage.bus.publish_raw(subject, document, {"Content-Type": EVENT}), "twice-2")
    assert is_done(outcome)
    assert outcome.calls[0].body == b"2"


WHOLE = {"ce-specversion": "1.0", "ce-id": "x", "ce-source": "/s", "ce-type": "Plain"}
UNREADABLE: dict[str, tuple[dict[str, str] | None, bytes]] = {
    "no headers": (None, b"{}"),
    "foreign headers": ({"X-Kind": "Plain"}, b"{}"),
    "another type": (WHOLE | {"ce-type": "Emitting"}, b"{}"),
    "the type in other letters": (WHOLE | {"ce-type": "plain"}, b"{}"),
    "no id": ({name: value for name, value in WHOLE.items() if name != "ce-id"}, b"{}"),
    "empty source": (WHOLE | {"ce-source": ""}, b"{}"),
    "old version": (WHOLE | {"ce-specversion": "0.3"}, b"{}"),
    "version of the future": (WHOLE | {"ce-specversion": "2.0"}, b"{}"),
    "bad time": (WHOLE | {"ce-time": "yesterday"}, b"{}"),
    "bad attribute name": (WHOLE | {"ce-bad_name": "x"}, b"{}"),
    "bad percent-encoding": (WHOLE | {"ce-subject": "%ff"}, b"{}"),
    "twice, in other letters": (WHOLE | {"CE-ID": "y"}, b"{}"),
    "structured, not JSON": ({"content-type": EVENT}, b"{"),
    "structured, no object": ({"content-type": EVENT}, b"[]"),
    "structured, another type": (
        {"content-type": EVENT},
        b'{"specversion":"1.0","id":"x","source":"/s","type":"Emitting"}',
    ),
}


@pytest.mark.parametrize(("headers", "data"), UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_what_is_no_event_is_buried_unseen(stage: Stage, headers: dict[str, str] | None, data: bytes) -> None:
    called = len(stage.service.calls)
    sequence = await stage.bus.publish_raw(stage.bus.names.event_subject("Plain", "x"), data, headers)
    outcome = await stage.outcome(sequence)
    assert is_buried(outcome, "not-an-event", calls=0, status=None)
    assert outcome.letter.data == data
    assert len(stage.service.calls) == called


async def test_too_many_hops_are_buried_unseen(stage: Stage) -> None:
    outcome = await stage.play("Failing", always(204), choregoshops="65")
    assert is_buried(outcome, "too-many-hops", calls=0, status=None)


async def test_the_last_hop_that_is_allowed_is_made(stage: Stage) -> None:
    outcome = await stage.play("Converting", plain_json(), choregoshops="64")
    assert is_done(outcome, "Done")
    assert outcome.replies[0].headers["ce-choregoshops"] == "65"


@pytest.mark.parametrize(
    "headers", [WHOLE, WHOLE | {"ce-specversion": "2.0"}, {"Cloud-Event": "of another time"}], ids=str
)
async def test_an_unknown_wire_version_is_handed_back_whatever_it_holds(stage: Stage, headers: dict[str, str]) -> None:
    called = len(stage.service.calls)
    subject = stage.bus.names.event_subject("Heedful", "x")
    sequence = await stage.bus.publish_raw(subject, b"{}", {**headers, "Choregos-Wire": "2"})
    handed_back = await stage.ambassador.logged("hop", sequence=sequence, verdict="hand-back")
    assert handed_back["delay_s"] == 5.0, "backoffMax"
    assert "wire version '2'" in handed_back["error"]
    assert await stage.bus.dead_letters(of=sequence) == []
    assert len(stage.service.calls) == called


async def test_a_minor_wire_version_is_known(stage: Stage) -> None:
    headers = {**WHOLE, "ce-id": "minor", "Choregos-Wire": "1.7"}
    sequence = await stage.bus.publish_raw(stage.bus.names.event_subject("Plain", "minor"), b"{}", headers)
    assert is_done(await stage.outcome(sequence, "minor"))
