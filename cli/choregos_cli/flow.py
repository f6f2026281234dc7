"""How a run looks: a line for every hop and whatever else is worth knowing, or a line of JSON for everything."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.text import Text

from choregos_cli.console import print_json, printable
from choregos_cli.happenings import (
    AmbassadorExited,
    DeadLettered,
    Draining,
    EventStored,
    Happening,
    HopEnded,
    Notice,
    Output,
    Ready,
    ServiceAwaited,
    ServiceExited,
    ServiceStarted,
    as_json,
)
from choregos_cli.local_file import NAME
from choregos_cli.transactions import Roles, State, Transaction, Transactions

Show = Callable[[Happening], None]

_UNSETTLED: Final = 10_000

_VERDICT_STYLES: Final = {
    "done": "green",
    "retry": "bold yellow",
    "hand-back": "blue",
    "dead-letter": "bold red",
    "lease-lost": "yellow",
}
_STATE_STYLES: Final = {
    State.COMPLETED: "bold green",
    State.FAILED: "bold magenta",
    State.DEAD_LETTERED: "bold red",
}


class JsonLines:
    """Prints happenings as lines of JSON; the first is the one that says `ready`, what came before it follows."""

    def __init__(self) -> None:
        self._held_back: list[Happening] | None = []

    def __call__(self, happening: Happening) -> None:
        """Print a happening."""
        if self._held_back is None:
            print_json(as_json(happening))
        elif isinstance(happening, Ready):
            for each in (happening, *self._held_back):
                print_json(as_json(each))
            self._held_back = None
        else:
            self._held_back.append(happening)


class Lines:
    """Prints happenings as lines for people, and a line for every transaction that is settled."""

    def __init__(self, console: Console, roles: Callable[[], Roles], *, outputs: bool = True) -> None:
        self._console = console
        self._roles = roles
        self._outputs = outputs
        self._transactions: Transactions | None = None
        self._started: set[tuple[str, int]] = set()
        self._ready: set[tuple[str, int]] = set()

    def __call__(self, happening: Happening) -> None:
        """Print what is worth knowing of a happening."""
        for line in self._lines(happening):
            self._console.print(line)

    def _lines(self, happening: Happening) -> Iterator[Text]:
        if self._transactions is None:
            self._transactions = Transactions(self._roles())
        if isinstance(happening, Ready):
            yield from _ready(happening)
        elif not self._is_routine(happening) and (line := _line(happening)):
            yield Text.assemble((clock(happening.time), "dim"), "  ", line)
        transaction = self._transactions.feed(happening)
        # Forgotten once they are settled, or a run of many days would fill the memory; so would those that began before
        # we joined, which we never see whole.
        if len(self._transactions) > _UNSETTLED:
            self._transactions.forget(next(iter(self._transactions)).correlation_id)
        if transaction and transaction.settled:
            self._transactions.forget(transaction.correlation_id)
            yield Text.assemble((clock(transaction.last_time), "dim"), "  ", settled_line(transaction))

    def _is_routine(self, happening: Happening) -> bool:
        """Whether nobody needs to see it: outputs if they are not wanted, and that a service starts at first."""
        if isinstance(happening, ServiceStarted):
            return self._usual(self._started, happening)
        if isinstance(happening, Notice) and happening.message == "breaker":
            return self._usual(self._ready, happening) and happening.details.get("state") == "closed"
        return isinstance(happening, Output) and not self._outputs

    def _usual(self, known: set[tuple[str, int]], happening: ServiceStarted | Notice) -> bool:
        """Whether it is the first of its kind from a replica; notes that it was."""
        replica = (happening.service, happening.replica)
        first = replica not in known
        known.add(replica)
        return first


def _line(happening: Happening) -> Text | None:
    line: Text | None = None
    match happening:
        case HopEnded():
            line = hop_line(happening)
        case EventStored(causation_id=None):
            line = Text.assemble((short(happening.correlation_id), "cyan"), f"  {printable(happening.type)} published")
        case DeadLettered():
            line = dead_letter_line(happening)
        case ServiceExited() | AmbassadorExited():
            line = _exit_line(happening)
        case Output():
            line = Text(f"{happening.service}[{happening.replica}] | {printable(happening.line)}", "dim")
        case ServiceStarted():
            line = Text(f"{happening.service} started", "dim")
        case ServiceAwaited():
            line = Text(
                f"{happening.service} has no command in {NAME}: start it yourself, at {happening.url}", "yellow"
            )
        case Draining():
            line = Text("draining; a second Ctrl-C ends at once", "bold")
        case Notice():
            line = _notice_line(happening)
    return line


def hop_line(hop: HopEnded) -> Text:
    """Return a hop in a line: who reacted to what, how it ended, what follows."""
    parts: list[str | tuple[str, str]] = [
        (short(hop.correlation_id), "cyan"),
        f"  {hop.event_type} -> {hop.service}  ",
        (hop.verdict, _VERDICT_STYLES[hop.verdict]),
    ]
    if hop.status is not None:
        parts.append(f" {hop.status}")
    if hop.attempt > 1 or hop.verdict != "done":
        parts.append(f"  attempt {hop.attempt}")
    if hop.duration_ms is not None:
        parts.append((f"  {hop.duration_ms:.0f} ms", "dim"))
    if hop.replies:
        parts.append(f"  => {', '.join(hop.replies)}")
    if hop.delay_s is not None and hop.verdict in ("retry", "hand-back"):
        parts.append((f"  again in {hop.delay_s:.1f} s", "yellow"))
    if hop.error:
        parts.append((f"  {printable(hop.error)}", "dim"))
    return Text.assemble(*parts)


def dead_letter_line(letter: DeadLettered) -> Text:
    """Return a dead letter in a line."""
    return Text.assemble(
        (short(letter.correlation_id), "cyan"),
        f"  {letter.event_type} -> {letter.service}  ",
        ("dead letter", "bold red"),
        f" {letter.reason}: {printable(letter.last_error or 'no more is known')}",
    )


def settled_line(transaction: Transaction) -> Text:
    """Return the end of a transaction in a line."""
    state = transaction.state()
    return Text.assemble(
        (short(transaction.correlation_id), "cyan"),
        "  transaction ",
        (state.replace("_", " "), _STATE_STYLES.get(state, "bold")),
        (f" after {transaction.last_time - transaction.events[0].time:.2f} s", "dim"),
    )


def short(correlation_id: str) -> str:
    """Return the end of an id: the beginning of a UUIDv7 is the time, the same for all that happens now."""
    return printable(correlation_id[-8:]).replace("\n", " ")


def clock(seconds: float) -> str:
    """Return a Unix time as the local time of day, with milliseconds."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S.%f")[:-3]


def _ready(ready: Ready) -> Iterator[Text]:
    yield Text.assemble(("ready", "bold green"), f"  NATS at {ready.nats}; Ctrl-C drains and ends")
    for name, addresses in ready.services.items():
        for address in addresses:
            urls = f"{address.url}   publish {address.publish_url}   probes {address.probes_url}"
            yield Text.assemble("  ", (name.ljust(max(map(len, ready.services))), "bold"), f"  {urls}")


def _exit_line(exited: ServiceExited | AmbassadorExited) -> Text:
    what = exited.service if isinstance(exited, ServiceExited) else f"the ambassador of {exited.service}"
    how = f"was ended by signal {-exited.code}" if exited.code < 0 else f"ended with exit code {exited.code}"
    tail = "".join(f"\n    {printable(line)}" for line in exited.output)
    return Text.assemble((f"{what} {how}", "bold red"), f"; again in {exited.restart_in_s:.1f} s", (tail, "dim"))


def _notice_line(notice: Notice) -> Text:
    details = ", ".join(f"{name} {value}" for name, value in notice.details.items())
    text = f"ambassador of {notice.service}: {notice.message}  {printable(details)}".rstrip()
    return Text(text, "dim" if notice.level == "info" else "yellow")
