"""The wiring applied: JetStream is asked what exists, planned for, and told what to do.

No I/O of its own: `ask` sends one request to a subject and returns the answer's payload, so that the CLI and the operator
wire by the same code. Two wirers at once are no harm: a create never overwrites, and whoever comes second reads again.
`wire` asks for every target; who knows already what exists plans for himself, and settles only what is to be changed.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from choregos_contract.plan import Config, Create, Existing, Nothing, Refuse, Step, Update, refuse_server, step
from choregos_contract.wiring import Durable, Stream, Wanted

Ask = Callable[[str, bytes], Awaitable[bytes]]
Planner = Callable[[Existing | None], Step]
"""What to do about one target, given what exists of it."""

ROUNDS = 5
"""How often a target is read again because another wirer was quicker."""

STREAM_NOT_FOUND = 10059
CONSUMER_NOT_FOUND = 10014
_RACE = {STREAM_NOT_FOUND, CONSUMER_NOT_FOUND, 10058, 10148, 10149}
"""Beside the two above: the stream exists in another form, the consumer exists already, it does not exist any more."""
_ROOM = "raise the JetStream limits of the account or the servers, or lower maxBytes"
_MENDS = {
    10002: _ROOM,
    10005: "add NATS servers, or lower the bus's replicas",
    10023: _ROOM,
    10026: "raise the account's limit of consumers, or the server's: from 2.15 on it is 1000 for each stream, see"
    " `default_max_consumers` in its JetStream limits",
    10027: "raise the account's limit of streams",
    10028: _ROOM,
    10047: _ROOM,
    10065: "find the other stream with `nats stream ls --subject`, and give the bus another prefix",
    10074: "set replicas to 1, or run NATS as a cluster",
}


class JetStreamError(Exception):
    """JetStream refused a request for a reason that no plan foresaw. 10039: JetStream is not enabled."""

    def __init__(self, what: str, code: int, err_code: int, description: str) -> None:
        super().__init__(f"{what}: {description} (JetStream error {err_code}, status {code})")
        self.what = what
        self.code = code
        self.err_code = err_code
        self.description = description


@dataclass(frozen=True, slots=True)
class WiringReport:
    """What was done, as names of streams and durables."""

    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()


class WiringRefused(Exception):  # noqa: N818  named by what it means for the caller
    """Some of the wiring cannot be had; the rest of it was applied, and `report` says what."""

    def __init__(self, refusals: tuple[Refuse, ...], report: WiringReport) -> None:
        super().__init__("\n".join(map(str, refusals)))
        self.refusals = refusals
        self.report = report


async def wire(ask: Ask, wanted: Wanted, *, server_version: str, now: str) -> WiringReport:
    """Bring about what is wanted: first the streams, then, if all of them stand, the durables.

    `ask` raises what it likes when NATS does not answer; `now` (RFC 3339) is recorded in new durables. Raises
    WiringRefused with everything that was refused, after all else was applied; JetStreamError.
    """
    if refusal := refuse_server(server_version):
        raise WiringRefused((refusal,), WiringReport())
    steps: list[Step] = []
    for targets in (wanted.streams, wanted.durables):
        steps += [
            await settle(ask, target, partial(step, target, server_version=server_version, now=now))
            for target in targets
        ]
        if refusals := tuple(each for each in steps if isinstance(each, Refuse)):
            raise WiringRefused(refusals, _report(steps))
    return _report(steps)


async def settle(ask: Ask, target: Stream | Durable, planner: Planner, first: Step | None = None) -> Step:
    """Read, plan and apply one target, again if another wirer was quicker; return the step that stood.

    `first` is the plan of somebody who has read already. Raises JetStreamError for what no plan foresaw.
    """
    error: JetStreamError | None = None
    for _ in range(ROUNDS):
        planned = first or planner(await _existing(ask, target))
        first = None
        if isinstance(planned, Nothing | Refuse):
            return planned
        try:
            await request(ask, str(target), *_command(planned))
        except JetStreamError as refused:
            if mend := _MENDS.get(refused.err_code):
                return Refuse(str(target), refused.description, mend)
            if refused.err_code not in _RACE:
                raise
            error = refused
        else:
            return planned
    assert error
    raise error


async def _existing(ask: Ask, target: Stream | Durable) -> Existing | None:
    try:
        return Existing.of(await request(ask, str(target), f"{_kind(target)}.INFO.{_address(target)}"))
    except JetStreamError as error:
        if error.err_code in (STREAM_NOT_FOUND, CONSUMER_NOT_FOUND):
            return None
        raise


async def request(ask: Ask, what: str, subject: str, body: bytes = b"") -> dict[str, Any]:
    """Ask JetStream's API, at a subject below `$JS.API.`; raises JetStreamError about `what`."""
    answer = msgspec.json.decode(await ask(f"$JS.API.{subject}", body), type=dict[str, Any])
    if error := answer.get("error"):
        raise JetStreamError(
            what, error.get("code", 0), error.get("err_code", 0), error.get("description", "no description")
        )
    return answer


def update_durable(stream: str, name: str, config: Config) -> tuple[str, bytes]:
    """Return the request, subject and payload, that replaces the configuration of a durable which exists."""
    return _consumer_command(stream, name, config, "update")


def _command(planned: Create | Update) -> tuple[str, bytes]:
    """Return the API subject, below `$JS.API.`, and the payload of a step."""
    target, verb = planned.target, "CREATE" if isinstance(planned, Create) else "UPDATE"
    if isinstance(target, Stream):
        return f"STREAM.{verb}.{target.name}", msgspec.json.encode(planned.config)
    return _consumer_command(target.stream, target.name, planned.config, verb.lower())


def _consumer_command(stream: str, name: str, config: Config, action: str) -> tuple[str, bytes]:
    # An explicit action: a create must not overwrite what another wirer made in between, nor an update bring back
    # with a new position what somebody has just removed.
    body = {"stream_name": stream, "config": config, "action": action}
    return f"CONSUMER.CREATE.{stream}.{name}", msgspec.json.encode(body)


def _kind(target: Stream | Durable) -> str:
    return "STREAM" if isinstance(target, Stream) else "CONSUMER"


def _address(target: Stream | Durable) -> str:
    return target.name if isinstance(target, Stream) else f"{target.stream}.{target.name}"


def _report(steps: Sequence[Step]) -> WiringReport:
    def of(kind: type[Create | Update | Nothing]) -> tuple[str, ...]:
        return tuple(each.target.name for each in steps if isinstance(each, kind))

    return WiringReport(of(Create), of(Update), of(Nothing))
