"""What every hop of an ambassador works with."""

from dataclasses import dataclass

from choregos_ambassador.bus import Bus
from choregos_ambassador.gate import Gate
from choregos_ambassador.history import History
from choregos_ambassador.inbox import Inbox
from choregos_ambassador.leases import Leases
from choregos_ambassador.notes import Notes
from choregos_ambassador.outbox import Outbox
from choregos_ambassador.report import Report
from choregos_ambassador.targets import Targets


@dataclass(frozen=True, slots=True)
class Equipment:
    """Shared by all reactions of the process."""

    bus: Bus
    leases: Leases
    gate: Gate
    targets: Targets
    outbox: Outbox
    history: History
    inbox: Inbox
    notes: Notes
    report: Report
