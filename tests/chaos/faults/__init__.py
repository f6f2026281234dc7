"""The faults of a round, a module for each family; ALL of them by kind.

A new family: write its module with a tuple FAULTS, and add it to `_FAMILIES`.
"""

from fnmatch import fnmatch
from typing import Final

from chaos.faults import clocks, cluster, network, pauses, processes, reloads, services, storage
from chaos.faults.fault import Fault, Missed

__all__ = ["ALL", "Fault", "Missed", "chosen"]

_FAMILIES: Final[tuple[tuple[Fault, ...], ...]] = (
    processes.FAULTS,
    network.FAULTS,
    pauses.FAULTS,
    services.FAULTS,
    clocks.FAULTS,
    reloads.FAULTS,
    storage.FAULTS,
    cluster.FAULTS,
)

ALL: Final[dict[str, Fault]] = {fault.kind: fault for family in _FAMILIES for fault in family}


def chosen(patterns: str, *, of_cluster: bool) -> list[Fault]:
    """Return the faults that a list such as `kill-*,die-before-ack` names, all for an empty one; raises ValueError.

    Those of a cluster's nodes are only there where NATS is one (`of_cluster`).
    """
    there = {kind: fault for kind, fault in ALL.items() if of_cluster or fault not in cluster.FAULTS}
    named = [pattern.strip() for pattern in patterns.split(",") if pattern.strip()] or ["*"]
    if unknown := [pattern for pattern in named if not any(fnmatch(kind, pattern) for kind in there)]:
        raise ValueError(f"no fault is named {', '.join(unknown)}; there are {', '.join(there)}")
    return [fault for kind, fault in there.items() if any(fnmatch(kind, pattern) for pattern in named)]
