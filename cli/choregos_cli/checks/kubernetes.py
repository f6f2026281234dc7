"""The cluster itself, and what this user may see of it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from choregos_cli.checks.catalogue import Line
from choregos_cli.checks.facts import Facts
from choregos_cli.checks.lines import Fault, judged
from choregos_cli.cluster.kubectl import Right
from choregos_contract.wiring import version

OLDEST: Final = (1, 29)


def kubernetes(facts: Facts) -> Iterator[Line]:
    """Check the section."""
    yield from judged("kubernetes-version", facts.api_version, _version, f"Kubernetes is {facts.api_version}")
    yield from judged("own-rights", facts.rights, _rights)


def _version(found: str) -> Iterable[Fault]:
    if version(found) < OLDEST:
        yield Fault(f"Kubernetes is {found}; Choregos needs {OLDEST[0]}.{OLDEST[1]} or later")


def _rights(rights: Mapping[Right, bool]) -> Iterable[Fault]:
    for right, given in rights.items():
        if not given:
            yield Fault(f"you may not {right}")
