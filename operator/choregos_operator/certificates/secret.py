"""The Secret: what the webhooks serve with, and all that the controller has to remember of a rotation.

Whatever in it cannot be used is as good as not there, so that a damaged Secret and a missing one are mended alike.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from choregos_operator.certificates.issue import Authority, Leaf
from choregos_operator.certificates.trust import bundle_of, certificates_in, is_authority

ANNOUNCED: Final = "choregos.dev/authority-announced"
"""Annotation: since when the next authority has been in every bundle."""
REPLACED: Final = "choregos.dev/authority-replaced"
"""Annotation: since when no certificate of the former authorities has been in the Secret."""
KEYS: Final = ("ca.crt", "ca.key", "next-ca.crt", "next-ca.key", "former-ca.crt", "tls.crt", "tls.key")

_CERTIFICATE_BLOCK: Final = re.compile(rb"^-----BEGIN CERTIFICATE-----", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Held:
    """What the Secret holds that can be used."""

    current: Authority | None = None
    """Signs the webhook's certificate."""
    next: Authority | None = None
    """Will sign it, once every API server trusts it."""
    former: frozenset[x509.Certificate] = frozenset()
    """Prove what some webhook may still serve with."""
    leaf: Leaf | None = None
    """What the webhooks serve with; it may be expired, or nobody's."""
    announced: datetime | None = None
    replaced: datetime | None = None

    @property
    def authorities(self) -> frozenset[x509.Certificate]:
        """All authorities, whatever they are to us."""
        ours = {each.certificate for each in (self.current, self.next) if each}
        return self.former | ours


def read(data: Mapping[str, bytes], annotations: Mapping[str, str], now: datetime) -> Held:
    """Read what can be used of a Secret's data and annotations; of a damaged one, what is left."""
    current, coming = (_authority(data, name, now) for name in ("ca", "next-ca"))
    former = {each for each in certificates_in(data.get("former-ca.crt", b"")) if each.not_valid_after_utc > now}
    return Held(
        current=current,
        next=coming if coming and coming.key and coming != current else None,
        former=frozenset(former - {each.certificate for each in (current, coming) if each}),
        leaf=_leaf(data),
        announced=_time(annotations.get(ANNOUNCED)),
        replaced=_time(annotations.get(REPLACED)),
    )


def data_of(held: Held) -> dict[str, bytes]:
    """Write the Secret's data; what there is nothing to say of is left out."""
    files: dict[str, bytes] = {}
    for name, pair in (("ca", held.current), ("next-ca", held.next), ("tls", held.leaf)):
        if pair is not None:
            files[f"{name}.crt"] = pair.certificate.public_bytes(Encoding.PEM)
        if pair is not None and pair.key is not None:
            files[f"{name}.key"] = pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    if held.former:
        files["former-ca.crt"] = bundle_of(held.former)
    return files


def annotations_of(held: Held) -> dict[str, str]:
    """Write the Secret's annotations."""
    times = {ANNOUNCED: held.announced, REPLACED: held.replaced}
    return {name: time.isoformat() for name, time in times.items() if time}


def _authority(data: Mapping[str, bytes], name: str, now: datetime) -> Authority | None:
    """An expired authority proves nothing; one whose time has not come must not sign, but may be trusted elsewhere."""
    certificate = _single(data.get(f"{name}.crt", b""))
    if certificate is None or certificate.not_valid_after_utc <= now or not is_authority(certificate):
        return None
    key = _key(data.get(f"{name}.key", b""), certificate)
    return Authority(certificate, key if certificate.not_valid_before_utc <= now else None)


def _leaf(data: Mapping[str, bytes]) -> Leaf | None:
    certificate = _single(data.get("tls.crt", b""))
    key = _key(data.get("tls.key", b""), certificate) if certificate else None
    return Leaf(certificate, key) if certificate and key else None


def _single(text: bytes) -> x509.Certificate | None:
    found = certificates_in(text)
    return next(iter(found)) if len(found) == 1 == len(_CERTIFICATE_BLOCK.findall(text)) else None


def _key(text: bytes, certificate: x509.Certificate) -> ec.EllipticCurvePrivateKey | None:
    """Read the key, if it is this certificate's."""
    try:
        key = load_pem_private_key(text, password=None)
        matches = key.public_key() == certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if matches and isinstance(key, ec.EllipticCurvePrivateKey) else None


def _time(text: str | None) -> datetime | None:
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return time.astimezone(UTC) if time.tzinfo else None
