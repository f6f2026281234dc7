"""No admission is refused: whoever is late, killed, away or doubled, what is served is trusted at every moment.

A model of the cluster around the decisions. An API server may verify with any bundle of the last 30 s, and a webhook may
serve with any certificate of the last two minutes: all pairs of them are tried, which is worse than any real cluster.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Generic, TypeVar

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from choregos_operator.certificates.issue import Leaf, Terms, new_authority
from choregos_operator.certificates.rotation import Publish, Step, Wait, Write, next_step
from choregos_operator.certificates.secret import ANNOUNCED, KEYS, REPLACED, Held, annotations_of, data_of, read
from choregos_operator.certificates.trust import bundle_of, certificates_in, proves

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TERMS = Terms(names=("hook.system.svc",))
API_SERVER_LATE = timedelta(seconds=30)
WEBHOOK_LATE = timedelta(minutes=2)
REQUESTS_TAKE = timedelta(seconds=120)
"""The longest time from reading an object to writing it: three reads and a write that nearly time out."""

T = TypeVar("T")


@dataclass(frozen=True)
class Since(Generic[T]):
    time: datetime
    value: T


@dataclass(frozen=True)
class Decision:
    """What a controller wants to do, and the versions of what it has read."""

    time: datetime
    secret: int
    bundles: tuple[int, ...]
    step: Step


class RefusedError(AssertionError):
    """An admission may have been refused."""


@dataclass
class World:
    terms: Terms = TERMS
    now: datetime = NOW
    data: dict[str, bytes] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    version: int = 0
    bundles: list[list[Since[bytes]]] = field(default_factory=lambda: [[Since(NOW, b"")], [Since(NOW, b"")]])
    leaves: list[Since[Leaf]] = field(default_factory=list)
    pending: dict[str, Decision] = field(default_factory=dict)

    # What a controller does

    def read(self, who: str) -> None:
        held = read(self.data, self.annotations, self.now)
        versions = tuple(map(len, self.bundles))
        step = next_step(held, [each[-1].value for each in self.bundles], self.now, self.terms)
        self.pending[who] = Decision(self.now, self.version, versions, step)

    def act(self, who: str, *, killed: bool = False) -> None:
        """Do what was decided, unless what was read has changed since; killed: only the first of two writes."""
        decision = self.pending.pop(who, None)
        if decision is None or decision.time + REQUESTS_TAKE < self.now:
            return
        match decision.step:
            case Write(held) if decision.secret == self.version:
                self.hold(held)
            case Publish(bundle):
                self.publish(bundle, decision.bundles, 1 if killed else 2)
            case _:
                pass

    def publish(self, bundle: bytes, versions: tuple[int, ...], count: int) -> None:
        differ = [number for number, history in enumerate(self.bundles) if history[-1].value != bundle]
        for number in differ[:count]:
            if len(self.bundles[number]) != versions[number]:
                return
            self.put(number, bundle)

    def hold(self, held: Held) -> None:
        self.write(data_of(held), annotations_of(held))

    # What happens in the cluster

    def write(self, data: dict[str, bytes], annotations: dict[str, str]) -> None:
        self.data, self.annotations, self.version = data, annotations, self.version + 1
        leaf = read(data, annotations, self.now).leaf
        # A webhook that finds nothing usable goes on with what it has in memory.
        if leaf and (not self.leaves or leaf != self.leaves[-1].value):
            self.leaves.append(Since(self.now, leaf))
        self.check()

    def put(self, number: int, bundle: bytes) -> None:
        self.bundles[number].append(Since(self.now, bundle))
        self.check()

    def check(self) -> None:
        """Try every certificate that may be served with every bundle that may be in force."""
        if not self.leaves or self.now < self.leaves[0].time + API_SERVER_LATE:
            return
        for leaf in recent(self.leaves, self.now - WEBHOOK_LATE):
            for history in self.bundles:
                for bundle in recent(history, self.now - API_SERVER_LATE):
                    if not any(
                        proves(each, leaf.certificate, self.terms, self.now) for each in certificates_in(bundle)
                    ):
                        raise RefusedError(f"{leaf.certificate.subject} is served and not trusted, at {self.now}")

    # What a test asks for

    def wait(self, time: timedelta) -> None:
        self.now += time
        self.check()

    def settle(self, who: str = "a") -> None:
        """One controller works until there is nothing to do."""
        for _ in range(20):
            self.read(who)
            done = isinstance(self.pending[who].step, Wait)
            self.act(who)
            if done:
                return
        raise AssertionError("the steps do not end")

    def calm(self) -> None:
        """Nothing goes wrong for a while: then everything is as it is between two rotations."""
        for seconds in (0, 61, 61, 301, 301):
            self.wait(timedelta(seconds=seconds))
            self.settle()
        held = read(self.data, self.annotations, self.now)
        assert held.current
        assert held.leaf
        assert (held.next, held.former) == (None, frozenset())
        assert proves(held.current.certificate, held.leaf.certificate, self.terms, self.now)
        assert {each[-1].value for each in self.bundles} == {bundle_of([held.current.certificate])}


def recent(history: list[Since[T]], begin: datetime) -> list[T]:
    """Everything that was the newest at some time since."""
    ends = [each.time for each in history[1:]]
    return [
        each.value for each, end in zip(history, [*ends, datetime.max.replace(tzinfo=UTC)], strict=True) if end >= begin
    ]


Action = Callable[[World], None]


def named(name: str, action: Action) -> Action:
    action.__name__ = action.__qualname__ = name
    return action


def damaged(key: str, value: bytes | None) -> Action:
    def damage(world: World) -> None:
        data = {name: text for name, text in world.data.items() if name != key}
        world.write(data if value is None else data | {key: value}, world.annotations)

    return named(f"{key} becomes {value!r}", damage)


def annotated(key: str, value: str | None) -> Action:
    def damage(world: World) -> None:
        others = {name: text for name, text in world.annotations.items() if name != key}
        world.write(world.data, others if value is None else others | {key: value})

    return named(f"{key} becomes {value}", damage)


def stranger(world: World) -> None:
    """Somebody adds an authority of his own to a bundle."""
    other = new_authority(world.terms, world.now).certificate.public_bytes(Encoding.PEM)
    world.put(0, world.bundles[0][-1].value + other)


def garbage(world: World) -> None:
    world.put(1, b"garbage\n" + world.bundles[1][-1].value)


def away(days: int) -> Action:
    """The controller is away, comes back, and is left in peace."""

    def act(world: World) -> None:
        world.calm()
        world.wait(timedelta(days=days))
        world.calm()

    return named(f"away for {days} days", act)


def year(world: World) -> None:
    """A year passes in which the controller looks once in two weeks: the authority is replaced."""
    for _ in range(26):
        world.wait(timedelta(days=14))
        world.settle()


damages = st.one_of(
    st.just(named("the Secret is deleted", lambda world: world.write({}, {}))),
    st.builds(damaged, st.sampled_from(KEYS), st.sampled_from([None, b"garbage"])),
    st.builds(annotated, st.sampled_from([ANNOUNCED, REPLACED]), st.sampled_from([None, "2099-01-01T00:00:00+00:00"])),
    st.sampled_from([stranger, garbage]),
)
work = st.one_of(
    st.builds(lambda who: named(f"{who} reads", lambda world: world.read(who)), st.sampled_from("ab")),
    st.builds(lambda who: named(f"{who} acts", lambda world: world.act(who)), st.sampled_from("ab")),
    st.builds(lambda who: named(f"{who} is killed", lambda world: world.act(who, killed=True)), st.sampled_from("ab")),
    st.builds(lambda who: named(f"{who} settles", lambda world: world.settle(who)), st.sampled_from("ab")),
)
seconds = st.sampled_from([0, 1, 29, 31, 59, 60, 61, 119, 121, 299, 300, 301])
time = seconds.map(lambda wait: named(f"{wait} s", lambda world: world.wait(timedelta(seconds=wait))))
long_time = st.sampled_from([away(1), away(20), named("a year", year)])
actions = st.lists(st.one_of(work, work, time, time, damages, long_time), max_size=40)


def lived(world: World, happens: list[Action]) -> None:
    for action in happens:
        action(world)
    world.calm()


@cache
def _due() -> World:
    world = World()
    for action in [World.settle, away(1), *[away(20)] * 12]:
        action(world)
    world.wait(timedelta(days=3))
    return world


def due() -> World:
    """Return a world in which the authority is due for replacement, and nobody has looked."""
    world = _due()
    return replace(world, bundles=[list(each) for each in world.bundles], leaves=list(world.leaves), pending={})


def installed() -> World:
    world = World()
    world.settle()
    world.wait(WEBHOOK_LATE)
    return world


@settings(deadline=None, max_examples=200)
@given(actions)
def test_what_is_served_is_trusted_at_every_moment(happens: list[Action]) -> None:
    lived(installed(), happens)


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 300), st.lists(st.one_of(work, work, time, time, damages), max_size=30))
def test_so_it_is_in_the_middle_of_replacing_the_authority(moment: int, happens: list[Action]) -> None:
    world = due()
    world.settle()
    assert read(world.data, world.annotations, world.now).next
    world.wait(timedelta(seconds=moment))
    world.settle()
    lived(world, happens)


@pytest.mark.parametrize(
    "careless",
    [replace(TERMS, propagation=timedelta(seconds=29)), replace(TERMS, retirement=timedelta(seconds=119))],
    ids=["too little time for API servers", "too little time for webhooks"],
)
def test_the_model_finds_a_rotation_that_is_too_hasty(careless: Terms) -> None:
    with pytest.raises(RefusedError):
        replace_authority(World(terms=careless))


def test_the_model_lets_a_rotation_pass_that_is_just_slow_enough() -> None:
    second = timedelta(seconds=1)
    replace_authority(
        World(terms=replace(TERMS, propagation=API_SERVER_LATE + second, retirement=WEBHOOK_LATE + second))
    )


def replace_authority(world: World) -> None:
    """Live until the authority is due, and then, second by second, through its replacement."""
    world.settle()
    first = world.bundles[0][-1].value
    for _ in range(18):
        world.wait(timedelta(days=14))
        for _ in range(200):
            world.wait(timedelta(seconds=1))
            world.settle()
    assert world.bundles[0][-1].value != first
