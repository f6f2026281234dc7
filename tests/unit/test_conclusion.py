"""What follows from an attempt is known before anything of it is done, and only what is final may be remembered."""

from functools import partial

import pytest

from choregos_ambassador.answer import Answer, NoAnswer, Trouble
from choregos_ambassador.conclusion import conclude
from choregos_ambassador.role import Role
from choregos_ambassador.verdict import Action, judge
from choregos_contract.configuration import VERSION, Configuration, Reaction
from choregos_contract.event import Event
from choregos_contract.names import BusNames

REACTION = Reaction(event="Placed", port=8080, emits=("Done",), on_success="Done")
CONFIGURATION = Configuration(version=VERSION, generation=1, service="s", bus=BusNames(namespace="n"))
ROLE = Role(CONFIGURATION, REACTION)
PLACED = Event({"specversion": "1.0", "id": "1", "source": "/t", "type": "Placed", "choregoshops": "0"}, b"{}")
JSON = (("content-type", "application/json"),)
EVENT = (("ce-specversion", "1.0"), ("ce-id", "7"), ("ce-source", "/s"), ("ce-type", "Undeclared"))


@pytest.mark.parametrize(
    ("outcome", "action", "reason", "hops", "final"),
    [
        (Answer(200, JSON, b"{}"), Action.DONE, None, ["Done"], True),
        (Answer(422), Action.REJECT, "rejected", [], True),
        (Answer(200, JSON, b"no JSON"), Action.REJECT, "invalid-reply", [], True),
        (Answer(200, JSON, truncated=True), Action.REJECT, "reply-too-large", [], True),
        (Answer(200, (*JSON, *EVENT), b"{}"), Action.RETRY, "invalid-reply", [], False),
        (Answer(503), Action.RETRY, "exhausted", [], False),
        (NoAnswer(Trouble.TIMEOUT), Action.RETRY, "exhausted", [], False),
        (NoAnswer(Trouble.UNREACHABLE), Action.HAND_BACK, "exhausted", [], False),
    ],
)
def test_what_follows_from_an_attempt(
    outcome: Answer | NoAnswer, action: Action, reason: str | None, hops: list[str], final: bool
) -> None:
    found = conclude(outcome, judge(outcome, REACTION.delivery), PLACED, ROLE, lambda: "2026-01-01T00:00:00.000Z")
    assert (found.action, [hop.type for hop in found.hops], found.final) == (action, hops, final)
    assert reason is None or found.cause.reason == reason


def test_the_same_answer_comes_to_the_same_replies_however_late() -> None:
    answer = Answer(200, JSON, b'{"a": 1}')
    now, later = (
        conclude(answer, judge(answer, REACTION.delivery), PLACED, ROLE, partial(str, f"2026-01-0{day}T00:00:00.000Z"))
        for day in (1, 9)
    )
    assert [(hop.id, hop.data) for hop in now.hops] == [(hop.id, hop.data) for hop in later.hops]
