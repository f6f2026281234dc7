"""What follows from one attempt, before anything of it is done: the next hops, another attempt, or a dead letter. Pure."""

from collections.abc import Callable
from typing import Final

import msgspec

from choregos_ambassador import replies
from choregos_ambassador.answer import Answer, NoAnswer
from choregos_ambassador.dead_letter import Cause, Reason
from choregos_ambassador.replies import InvalidReply
from choregos_ambassador.role import Role
from choregos_ambassador.verdict import Action, Verdict
from choregos_contract.event import Event

_FINAL: Final = frozenset({Action.DONE, Action.REJECT})
_NONE: Final = Cause(Reason.EXHAUSTED)


class Conclusion(msgspec.Struct, frozen=True):
    """What to do, why if it did not go well, and what to store if it did."""

    action: Action
    cause: Cause = _NONE
    hops: list[Event] = []

    @property
    def final(self) -> bool:
        """Whether the service need not be asked again."""
        return self.action in _FINAL


def conclude(
    outcome: Answer | NoAnswer, verdict: Verdict, event: Event, role: Role, now: Callable[[], str]
) -> Conclusion:
    """Read the replies of an answer that is done; all else is as the verdict says. `now` tells the time (RFC 3339)."""
    if verdict.action is not Action.DONE or isinstance(outcome, NoAnswer):
        reason = Reason.REJECTED if verdict.action is Action.REJECT else Reason.EXHAUSTED
        return Conclusion(verdict.action, Cause(reason, verdict.error, verdict.status, verdict.said))
    try:
        answered = replies.read(outcome, role.reaction)
        hops = replies.next_hops(event, answered, role, now()) if answered else []
    except InvalidReply as invalid:
        cause = Cause(Reason(invalid.reason), invalid.detail, outcome.status)
        return Conclusion(Action.RETRY if invalid.retry else Action.REJECT, cause)
    return Conclusion(Action.DONE, hops=hops)
