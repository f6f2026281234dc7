"""Whatever a service answers is in order or an InvalidReply; whatever stands in the environment is settings or an error."""

import math

from hypothesis import given
from hypothesis import strategies as st

from choregos_ambassador import records, replies
from choregos_ambassador.answer import Answer
from choregos_ambassador.dead_letter import Reason
from choregos_ambassador.replies import InvalidReply
from choregos_ambassador.settings import PREFIX, SettingsError, read
from choregos_ambassador.verdict import Action, judge
from choregos_contract import cloudevents_nats
from choregos_contract.configuration import Delivery
from choregos_contract.event import Event, checked
from choregos_contract.names import BusNames
from support.roles import role

PARENT = checked({"specversion": "1.0", "id": "p", "source": "/s", "type": "Ordered", "correlationid": "c"}, b"{}")
NOW = "2026-01-02T03:04:05.678Z"
EVENT = b'{"specversion":"1.0","id":"r","source":"/s","type":"Done","data":{"a": 1.0}}'

texts = st.text(max_size=20) | st.sampled_from(
    [
        "1.0",
        "Done",
        "application/json",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "gzip",
        "ack",
    ]
)
headers = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("ce-specversion", "ce-id", "ce-source", "ce-type", "ce-correlationid", "ce-choregoshops", "ce-time"),
                *("content-type", "content-encoding", "choregos-verdict", "retry-after", "status", "nats-msg-id"),
            ]
        ),
        texts,
    ),
    max_size=8,
).map(tuple)
bodies = st.binary(max_size=40) | st.sampled_from(
    [b"{}", b"", EVENT, b"[" + EVENT + b"," + EVENT + b"]", b"[]", EVENT[:-1]]
)
answers = st.builds(Answer, st.integers(200, 999) | st.just(200), headers, bodies, st.booleans())


@given(answers, st.booleans(), st.booleans())
def test_any_answer_has_a_verdict_and_what_it_brings_can_be_stored(answer: Answer, plain: bool, required: bool) -> None:
    verdict = judge(answer, Delivery(reject=(400,), retry_on=(410,)))
    assert verdict.action is not Action.HAND_BACK
    assert 0 <= verdict.retry_after < math.inf
    assert len(verdict.said) <= 280
    part = role(emits=("Done", "Other"), on_success="Done" if plain else None, required=required)
    try:
        hops = replies.next_hops(PARENT, replies.read(answer, part.reaction), part, NOW)
    except InvalidReply as invalid:
        _is_designed(invalid)
        return
    assert len({hop.id for hop in hops}) == len(hops)
    for hop in hops:
        _is_a_next_hop(hop, part.configuration.bus)


def _is_designed(invalid: InvalidReply) -> None:
    assert invalid.reason in {Reason.INVALID_REPLY, Reason.REPLY_TOO_LARGE}
    assert invalid.detail.encode()


def _is_a_next_hop(hop: Event, bus: BusNames) -> None:
    assert hop.type in ("Done", "Other")
    assert (hop.correlation_id, hop.attributes["causationid"], hop.hops) == ("c", "p", 1)
    record = records.of_reply(hop, bus)
    steering = {name for name in record.headers if not name.startswith("ce-")}
    assert steering == {"Nats-Msg-Id", "Choregos-Wire"}
    assert cloudevents_nats.decode(record.headers, record.payload) == hop


@given(
    st.dictionaries(
        st.sampled_from(
            ["CONFIG", "NATS_URL", "PUBLISH_PORT", "PROBES_PORT", "LOG_LEVEL", "LOG_EVENTS", "POD", "X"]
        ).map(PREFIX.__add__),
        st.text(max_size=12)
        | st.sampled_from(["0", "9480", "65536", "-1", "1e3", "true", "debug", "nats://a:4222", ","]),
    )
)
def test_any_environment_is_settings_or_an_error_that_names_a_variable(environment: dict[str, str]) -> None:
    try:
        settings = read(environment)
    except SettingsError as error:
        names_a_variable = str(error).startswith(PREFIX)
        assert names_a_variable
        return
    assert settings.servers
    assert settings.config
    assert 0 <= settings.publish_port <= 65535
