"""All targets, by name."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType

from fuzz import admission, answer_parser, choreography, configuration, event_decoder


@dataclass(frozen=True)
class Target:
    """What is fuzzed, and what with."""

    name: str
    consume: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    longest: int = 8192
    """Bytes of the longest input."""


def _target(module: ModuleType) -> Target:
    return Target(module.__name__.rpartition(".")[2].replace("_", "-"), module.consume, module.seeds)


TARGETS = {
    target.name: target
    for target in map(_target, (event_decoder, admission, answer_parser, configuration, choreography))
}
