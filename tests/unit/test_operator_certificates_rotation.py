"""The steps to a certificate that works: the first one, renewals, replacing the authority, and every damage we thought of."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import example, given, settings
from hypothesis import strategies as st

from choregos_operator.certificates.issue import Authority, Leaf, Terms, new_authority, new_leaf
from choregos_operator.certificates.rotation import FORMER_LIMIT, Publish, Wait, Write, next_step, trusted
from choregos_operator.certificates.secret import (
    ANNOUNCED,
    KEYS,
    REPLACED,
    Held,
    annotations_of,
    data_of,
    read,
)
from choregos_operator.certificates.trust import bundle_of, certificates_in, proves

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TERMS = Terms(names=("hook.system.svc", "hook.system.svc.cluster.local"))
OTHER = Terms(names=("other.system.svc",))
SECOND = timedelta(seconds=1)


@dataclass
class World:
    """A Secret and two bundles, and a controller that takes one step after the other."""

    now: datetime = NOW
    data: dict[str, bytes] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    bundles: list[bytes] = field(default_factory=lambda: [b"", b""])
    done: list[str] = field(default_factory=list)

    @property
    def held(self) -> Held:
        return read(self.data, self.annotations, self.now)

    def settle(self) -> datetime:
        """Take steps until there is none; returns the time of the next one."""
        for _ in range(12):
            match next_step(self.held, self.bundles, self.now, TERMS):
                case Write(held, why):
                    self.hold(held)
                    self.done.append(why)
                case Publish(bundle):
                    self.bundles = [bundle for _ in self.bundles]
                    self.done.append("publish")
                case Wait(until):
                    return until
        raise AssertionError(f"the steps do not end: {self.done}")

    def hold(self, held: Held) -> None:
        self.data, self.annotations = data_of(held), annotations_of(held)

    def live(self, time: timedelta) -> list[str]:
        """Let time pass with the controller at work; returns what it did."""
        self.done, end = [], self.now + time
        while (until := self.settle()) <= end:
            assert until > self.now, "the next step is in the past"
            self.now = until
        self.now = end
        return self.done

    @property
    def authority(self) -> Authority:
        assert self.held.current
        return self.held.current

    @property
    def leaf(self) -> Leaf:
        assert self.held.leaf
        return self.held.leaf

    def works(self) -> bool:
        """Whether all is as it is between two rotations."""
        ours = bundle_of([self.authority.certificate])
        clean = self.held.former == frozenset() and self.held.next is None
        proven = proves(self.authority.certificate, self.leaf.certificate, TERMS, self.now)
        return clean and proven and all(each == ours for each in self.bundles)


@pytest.fixture
def world() -> World:
    """All is well, and has been for a while."""
    installed = World()
    installed.live(timedelta(days=1))
    assert installed.works()
    return installed


def pem(authority: Authority) -> bytes:
    return authority.certificate.public_bytes(Encoding.PEM)


def test_the_first_certificate_is_there_at_once_and_is_trusted_before_it_is_served() -> None:
    world = World()
    world.settle()
    assert world.now == NOW
    assert world.done == [
        "there is no authority that can be used; one is made",
        "publish",
        "the next authority signs from now on",
    ]
    assert world.works()


def test_without_webhook_configurations_the_secret_is_made_all_the_same() -> None:
    world = World(bundles=[])
    world.settle()
    world.bundles = [b"", b""]
    world.settle()
    assert world.works()


def test_while_all_is_well_nothing_is_written(world: World) -> None:
    before = (world.data, world.annotations, world.bundles)
    assert world.live(timedelta(days=30)) == []
    assert (world.data, world.annotations, world.bundles) == before


def test_the_certificate_is_renewed_under_the_same_authority_without_touching_a_bundle(world: World) -> None:
    authority, leaf = world.authority, world.leaf
    assert world.live(timedelta(days=60)) == ["the certificate is due for renewal"]
    assert world.authority == authority
    assert world.leaf != leaf
    assert world.works()


def test_an_authority_is_replaced_in_the_order_that_refuses_nothing(world: World) -> None:
    old, leaf = world.authority, world.leaf
    world.now = NOW + timedelta(days=240)
    world.settle()
    leaf = world.leaf
    world.now = NOW + timedelta(days=244)
    world.done = []

    announced = world.settle()
    new = world.held.next
    assert new
    assert announced == world.now + TERMS.propagation
    assert all(certificates_in(each) == {old.certificate, new.certificate} for each in world.bundles)
    assert world.leaf == leaf

    world.now = announced - SECOND
    assert world.settle() == announced
    assert world.leaf == leaf

    world.now = announced
    replaced = world.settle()
    assert replaced == world.now + TERMS.retirement
    assert proves(new.certificate, world.leaf.certificate, TERMS, world.now)
    assert all(certificates_in(each) == {old.certificate, new.certificate} for each in world.bundles)

    world.now = replaced - SECOND
    assert world.settle() == replaced
    assert all(old.certificate in certificates_in(each) for each in world.bundles)

    world.now = replaced
    world.settle()
    assert world.works()
    assert world.authority == new
    assert world.done == [
        "the authority is due for replacement; the next one is made",
        "publish",
        "the next authority is in every bundle",
        "the next authority signs from now on",
        "publish",
        "the former authority is trusted no longer",
    ]


def test_ten_years_pass_with_ten_days_between_two_looks(world: World) -> None:
    for _ in range(365):
        world.now += timedelta(days=10)
        world.settle()
        trusts = [
            any(proves(ca, world.leaf.certificate, TERMS, world.now) for ca in trusted(world.held, world.now, TERMS))
        ]
        assert all(trusts)
    world.live(timedelta(days=1))
    assert world.works()


def test_the_wait_begins_anew_if_the_next_authority_is_taken_out_of_a_bundle(world: World) -> None:
    world.now = NOW + timedelta(days=244)
    announced = world.settle()
    world.now = announced - SECOND
    world.bundles[1] = bundle_of([world.authority.certificate])
    assert world.settle() == world.now + TERMS.propagation


def test_a_configuration_that_is_new_has_the_authority_at_once(world: World) -> None:
    world.bundles.append(b"")
    world.settle()
    assert world.works()


def test_a_bundle_that_was_cut_or_garbled_is_mended_at_once(world: World) -> None:
    for damaged in (b"", b"garbage", b"-----BEGIN CERTIFICATE-----\ngarbage\n-----END CERTIFICATE-----\n"):
        world.bundles[0] = damaged
        world.settle()
        assert world.works()


def test_an_authority_that_somebody_put_into_a_bundle_is_retired_not_cut(world: World) -> None:
    stranger = new_authority(TERMS, NOW)
    world.bundles[0] = pem(stranger)
    world.settle()
    both = {world.authority.certificate, stranger.certificate}
    assert [certificates_in(each) for each in world.bundles] == [both, both]
    world.live(TERMS.retirement)
    world.settle()
    assert world.works()


def test_an_expired_authority_in_a_bundle_is_cut(world: World) -> None:
    expired = new_authority(TERMS, NOW - timedelta(days=400))
    world.bundles[0] += pem(expired)
    world.settle()
    assert world.works()


def test_a_bundle_full_of_strangers_does_not_fill_the_secret(world: World) -> None:
    strangers = [new_authority(TERMS, NOW + SECOND * number) for number in range(FORMER_LIMIT + 2)]
    world.bundles[0] = world.bundles[1] + b"".join(map(pem, strangers))
    world.settle()
    assert len(world.held.former) == FORMER_LIMIT
    world.live(TERMS.retirement)
    world.settle()
    assert world.works()


def test_a_stranger_is_trusted_until_there_is_another_certificate_however_long_that_takes(world: World) -> None:
    """The Secret is deleted, and the controller dies right after it began to mend."""
    old = world.authority
    world.data, world.annotations = {}, {}
    world.settle()
    world.now += timedelta(days=1)
    for _ in range(3):
        assert all(old.certificate in certificates_in(each) for each in world.bundles)
        world.settle()


def test_a_former_authority_is_retired_only_after_its_certificate_has_been_replaced(world: World) -> None:
    """The certificate was lost long after the authority was taken for a former one: what is in memory may be its."""
    former = new_authority(TERMS, NOW)
    long_ago = world.now - timedelta(days=1)
    world.hold(replace(world.held, former=frozenset([former.certificate]), leaf=None, replaced=long_ago))
    assert world.settle() == world.now + TERMS.retirement
    assert all(former.certificate in certificates_in(each) for each in world.bundles)


Damage = Callable[[World], None]


def without(*keys: str) -> Damage:
    def damage(world: World) -> None:
        world.data = {key: value for key, value in world.data.items() if key not in keys}

    return damage


def putting(key: str, value: bytes) -> Damage:
    return lambda world: world.data.update({key: value})


def holding(change: Callable[[World], Held]) -> Damage:
    return lambda world: world.hold(change(world))


def stranger_key() -> bytes:
    return data_of(Held(current=new_authority(TERMS, NOW)))["ca.key"]


def backup(world: World) -> Held:
    old = new_authority(TERMS, NOW)
    return Held(current=old, leaf=new_leaf(old, TERMS, NOW))


def expired(world: World) -> Held:
    old = new_authority(TERMS, NOW - timedelta(days=400))
    return Held(current=old, leaf=new_leaf(old, TERMS, NOW - timedelta(days=400)))


def powerless() -> Authority:
    """Return an authority whose certificate does not say that it may sign certificates: clients take nothing of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "powerless")])
    end = NOW + timedelta(days=300)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), NOW, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return Authority(builder.sign(key, hashes.SHA256()), key)


DAMAGES: Mapping[str, Damage] = {
    "the Secret deleted": without(*KEYS),
    "the certificate deleted": without("tls.crt", "tls.key"),
    "the key deleted": without("tls.key"),
    "the certificate garbage": putting("tls.crt", b"garbage"),
    "the key garbage": putting("tls.key", b"garbage"),
    "the key empty": putting("tls.key", b""),
    "the key another's": putting("tls.key", stranger_key()),
    "the authority deleted": without("ca.crt", "ca.key"),
    "the authority garbage": putting("ca.crt", b"\xff\x00"),
    "the authority's key deleted": without("ca.key"),
    "the authority's key garbage": putting("ca.key", b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"),
    "the authority's key another's": putting("ca.key", stranger_key()),
    "the authority another, with its key": holding(
        lambda world: replace(world.held, current=new_authority(TERMS, world.now))
    ),
    "the authority powerless, and no certificate": holding(
        lambda world: replace(world.held, current=powerless(), leaf=None)
    ),
    "the next authority powerless": holding(
        lambda world: replace(world.held, next=powerless(), announced=world.now - timedelta(hours=1))
    ),
    "the next authority without a key": putting("next-ca.crt", pem(new_authority(TERMS, NOW))),
    "the next authority the current one": holding(lambda world: replace(world.held, next=world.held.current)),
    "former authorities garbage": putting("former-ca.crt", b"garbage"),
    "a former authority out of nowhere": holding(
        lambda world: replace(world.held, former=frozenset([new_authority(TERMS, NOW).certificate]))
    ),
    "the certificate for another name": holding(
        lambda world: replace(world.held, leaf=new_leaf(world.authority, OTHER, world.now))
    ),
    "the certificate another authority's": holding(
        lambda world: replace(world.held, leaf=new_leaf(new_authority(TERMS, NOW), TERMS, world.now))
    ),
    "the certificate expired": holding(
        lambda world: replace(world.held, leaf=new_leaf(world.authority, TERMS, NOW - timedelta(days=100)))
    ),
    "the certificate of a clock that was ahead": holding(
        lambda world: replace(world.held, leaf=new_leaf(world.authority, TERMS, NOW + timedelta(days=3)))
    ),
    "the authority of a clock that was ahead": holding(
        lambda world: replace(world.held, current=new_authority(TERMS, NOW + timedelta(days=3)))
    ),
    "the certificate in the place of the authority": holding(
        lambda world: replace(world.held, current=Authority(world.leaf.certificate, world.leaf.key))
    ),
    "everything expired": holding(expired),
    "a backup restored": holding(backup),
    "announced in the future": lambda world: world.annotations.update({ANNOUNCED: "2099-01-01T00:00:00+00:00"}),
    "replaced in the future": lambda world: world.annotations.update({REPLACED: "2099-01-01T00:00:00+00:00"}),
    "times that are none": lambda world: world.annotations.update({ANNOUNCED: "now", REPLACED: "2026-01-01T00:00:00"}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_secret_heals(world: World, damage: Damage) -> None:
    damage(world)
    world.live(timedelta(minutes=10))
    assert world.works()


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("moment", [0, 30, 61, 200], ids="{} s into a rotation".format)
def test_a_secret_that_is_damaged_in_the_middle_of_a_rotation_heals(damage: Damage, moment: int) -> None:
    world = World()
    world.settle()
    world.now += timedelta(days=244)
    world.live(timedelta(seconds=moment))
    damage(world)
    world.live(timedelta(minutes=20))
    assert world.works()


def test_a_deleted_secret_is_mended_without_a_moment_in_which_what_is_served_is_not_trusted(world: World) -> None:
    served = world.leaf
    old = world.authority
    world.data, world.annotations = {}, {}
    announced = world.settle()
    assert announced == world.now + TERMS.propagation
    assert world.held.leaf is None
    assert all(
        any(proves(ca, served.certificate, TERMS, world.now) for ca in certificates_in(each)) for each in world.bundles
    )
    world.now = announced
    world.settle()
    assert proves(world.authority.certificate, world.leaf.certificate, TERMS, world.now)
    assert all(old.certificate in certificates_in(each) for each in world.bundles)


def test_a_certificate_that_expired_while_the_controller_was_away_is_made_anew_at_once(world: World) -> None:
    authority = world.authority
    world.now += timedelta(days=100)
    world.settle()
    assert proves(authority.certificate, world.leaf.certificate, TERMS, world.now)


def test_an_authority_that_expired_while_the_controller_was_away_is_made_anew_at_once(world: World) -> None:
    world.now += timedelta(days=500)
    world.settle()
    assert world.works()


anything = st.one_of(st.binary(max_size=80), st.sampled_from([pem(new_authority(TERMS, NOW)), stranger_key()]))
times = st.one_of(
    st.sampled_from(["", "soon", "2026-03-01"]), st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(KEYS), anything),
    st.dictionaries(st.sampled_from([ANNOUNCED, REPLACED]), times),
    st.lists(anything, max_size=3),
)
def test_whatever_the_secret_and_the_bundles_hold_it_ends_well(
    data: dict[str, bytes], annotations: dict[str, str], bundles: list[bytes]
) -> None:
    world = World(data=data, annotations=annotations, bundles=bundles)
    world.live(timedelta(minutes=10))
    assert world.works()


ISSUED = new_authority(TERMS, NOW)
DER = new_leaf(ISSUED, TERMS, NOW).certificate.public_bytes(Encoding.DER)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@settings(deadline=None)
@given(st.integers(0, len(DER) - 1), st.integers(1, 255))
@example(12, 1).via("another version of X.509")
def test_a_certificate_with_any_broken_byte_is_mended(place: int, flip: int) -> None:
    """Most of them cannot be read; some can, and are found out by their signature."""
    broken = bytearray(DER)
    broken[place] ^= flip
    text = b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(broken) + b"\n-----END CERTIFICATE-----\n"
    good = data_of(Held(current=ISSUED, leaf=new_leaf(ISSUED, TERMS, NOW)))
    for data in (good | {"tls.crt": text}, good | {"ca.crt": text}, good | {"next-ca.crt": text}):
        world = World(data=data, bundles=[pem(ISSUED), text])
        world.live(timedelta(minutes=10))
        assert world.works()


def test_what_is_written_is_what_is_read(world: World) -> None:
    world.now = NOW + timedelta(days=244)
    world.settle()
    held = replace(world.held, former=frozenset([new_authority(TERMS, NOW).certificate]), replaced=world.now)
    assert read(data_of(held), annotations_of(held), world.now) == held
