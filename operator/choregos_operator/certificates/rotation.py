"""The next step on the way to a certificate that every API server takes from every webhook: a pure decision.

One rule: **what may be served is trusted.** A certificate is written to the Secret after its authority has been in every
bundle for as long as the slowest API server needs to see it; an authority leaves the bundles after its last certificate has
been out of the Secret for as long as the slowest webhook needs to notice. Renewing under the same authority needs neither.

    authority due       -> the next one is made, and put beside it in every bundle      (`next`)
    60 s later          -> a certificate of the next one replaces the webhook's         (`current`, `former`)
    5 min later         -> the former one leaves the bundles, then the Secret

Nothing is remembered but in the Secret and the bundles, every step is one write, and each is decided anew from what is
there. So the controller may be killed between any two, and two controllers at most repeat each other.

An authority in a bundle that the Secret does not know of is retired, not cut: if the Secret was deleted, damaged or restored
from a backup, that is the very authority of the certificate that the webhooks still have in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from choregos_operator.certificates.issue import Authority, Terms, new_authority, new_leaf
from choregos_operator.certificates.secret import Held
from choregos_operator.certificates.trust import bundle_of, certificates_in, proves, renewal_due

FORMER_LIMIT: Final = 32
"""Authorities that are taken in from bundles, at most: a bundle that somebody fills must not fill the Secret."""


@dataclass(frozen=True, slots=True)
class Write:
    """Write this to the Secret, and decide again."""

    held: Held
    why: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Write this bundle to every webhook of both configurations that has another, and decide again."""

    bundle: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """All is well until then, unless somebody changes something."""

    until: datetime


Step = Write | Publish | Wait


def next_step(held: Held, bundles: Sequence[bytes], now: datetime, terms: Terms) -> Step:
    """Decide, pure but for the keys that are made.

    `bundles` are those of every webhook of both configurations; of a configuration that is not there, none.
    """
    return (
        _retire_strangers(held, bundles, now)
        or _begin(held, now, terms)
        or _publish(held, bundles, now, terms)
        or _renew(held, now, terms)
        or _replace_authority(held, now, terms)
        or _forget_former(held, now, terms)
        or Wait(_next_deadline(held, now, terms))
    )


def trusted(held: Held, now: datetime, terms: Terms) -> frozenset[x509.Certificate]:
    """Return the authorities that belong into every bundle."""
    return held.authorities - held.former if _retired(held, now, terms) else held.authorities


def _retire_strangers(held: Held, bundles: Sequence[bytes], now: datetime) -> Write | None:
    found = {each for bundle in bundles for each in certificates_in(bundle)} - held.authorities
    strangers = sorted((each for each in found if each.not_valid_after_utc > now), key=_lasts, reverse=True)
    if not (taken := strangers[: max(0, FORMER_LIMIT - len(held.former))]):
        return None
    why = "a bundle holds an authority that the Secret does not know; it is trusted until every webhook has followed"
    return Write(replace(held, former=held.former.union(taken), replaced=now), why)


def _begin(held: Held, now: datetime, terms: Terms) -> Write | None:
    if held.current or held.next:
        return None
    return Write(_with_next(held, now, terms), "there is no authority that can be used; one is made")


def _publish(held: Held, bundles: Sequence[bytes], now: datetime, terms: Terms) -> Write | Publish | None:
    if held.next and held.announced and any(held.next.certificate not in certificates_in(each) for each in bundles):
        return Write(
            replace(held, announced=None), "the next authority was taken out of a bundle; it is announced anew"
        )
    bundle = bundle_of(trusted(held, now, terms))
    return Publish(bundle) if any(each != bundle for each in bundles) else None


def _renew(held: Held, now: datetime, terms: Terms) -> Write | None:
    """Renew under the same authority, which every API server trusts already."""
    if held.current is None or held.current.key is None:
        return None
    if not _served_by_current(held, now, terms):
        return _heal(held, held.current, now, terms)
    if held.leaf and renewal_due(held.leaf.certificate, terms) <= now:
        return Write(replace(held, leaf=new_leaf(held.current, terms, now)), "the certificate is due for renewal")
    return None


def _heal(held: Held, current: Authority, now: datetime, terms: Terms) -> Write:
    leaf = new_leaf(current, terms, now)
    if not proves(current.certificate, leaf.certificate, terms, now):
        keyless = Authority(current.certificate, None)
        return Write(
            replace(held, current=keyless), "the authority signs nothing that a client takes; it is used no more"
        )
    replaced = now if held.former else None
    return Write(replace(held, leaf=leaf, replaced=replaced), "there is no certificate that can be used; one is made")


def _replace_authority(held: Held, now: datetime, terms: Terms) -> Write | Wait | None:
    if held.next:
        return _go_on(held, now, terms)
    assert held.current is not None, "_begin has seen to it"
    if held.current.key is None:
        return Write(_with_next(held, now, terms), "the authority cannot sign; the next one is made")
    if renewal_due(held.current.certificate, terms) <= now:
        return Write(_with_next(held, now, terms), "the authority is due for replacement; the next one is made")
    return None


def _go_on(held: Held, now: datetime, terms: Terms) -> Write | Wait:
    """The next authority is in every bundle: begin to wait, wait, or go over to it."""
    if (held.current or held.former) and not _over(held.announced, terms.propagation, now):
        if held.announced is None or held.announced > now:
            return Write(replace(held, announced=now), "the next authority is in every bundle")
        return Wait(held.announced + terms.propagation)
    assert held.next is not None, "asked only while there is one"
    former = trusted(held, now, terms) - {held.next.certificate}
    leaf = new_leaf(held.next, terms, now)
    if not proves(held.next.certificate, leaf.certificate, terms, now):
        return Write(
            _with_next(held, now, terms), "the next authority signs nothing that a client takes; another is made"
        )
    return Write(
        Held(current=held.next, former=former, leaf=leaf, replaced=now), "the next authority signs from now on"
    )


def _forget_former(held: Held, now: datetime, terms: Terms) -> Write | None:
    if not held.former:
        return None
    if held.replaced is None or held.replaced > now:
        return Write(replace(held, replaced=now), "it is not known when the former authority was replaced")
    if _retired(held, now, terms):
        return Write(replace(held, former=frozenset(), replaced=None), "the former authority is trusted no longer")
    return None


def _next_deadline(held: Held, now: datetime, terms: Terms) -> datetime:
    pairs = [pair for pair in (held.current, held.leaf) if pair]
    deadlines = [renewal_due(pair.certificate, terms) for pair in pairs]
    if held.former and held.replaced:
        deadlines.append(held.replaced + terms.retirement)
    return min(deadlines, default=now)


def _with_next(held: Held, now: datetime, terms: Terms) -> Held:
    return replace(held, next=new_authority(terms, now), announced=None)


def _retired(held: Held, now: datetime, terms: Terms) -> bool:
    """Whether no webhook can be serving what a former authority has signed."""
    return _over(held.replaced, terms.retirement, now) and _served_by_current(held, now, terms)


def _served_by_current(held: Held, now: datetime, terms: Terms) -> bool:
    if held.current is None or held.leaf is None:
        return False
    return proves(held.current.certificate, held.leaf.certificate, terms, now)


def _over(since: datetime | None, time: timedelta, now: datetime) -> bool:
    return since is not None and since + time <= now


def _lasts(certificate: x509.Certificate) -> tuple[datetime, bytes]:
    return certificate.not_valid_after_utc, certificate.tbs_certificate_bytes
