"""Making an authority, and the certificate that the webhook serves with: elliptic curve keys (P-256), nothing optional."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from choregos_operator.settings import Settings

COMMON_NAME_LIMIT: Final = 64


@dataclass(frozen=True, slots=True)
class Terms:
    """For whom certificates are, how long they last, and how long everybody is given to follow a change."""

    names: tuple[str, ...]
    """DNS names that the certificate is for; the first is the one that the API server calls."""
    authority_lifetime: timedelta = timedelta(days=365)
    """A year: replacing the authority is then something that happens, not something that worked ten years ago."""
    leaf_lifetime: timedelta = timedelta(days=90)
    """Renewed with 30 days left: so long may the controller be away."""
    propagation: timedelta = timedelta(seconds=60)
    """Time for every API server to see a changed webhook configuration; they watch, so a second is usual."""
    retirement: timedelta = timedelta(minutes=5)
    """Time for every webhook to serve a changed Secret; the kubelet looks after it every 60 to 90 s."""
    back_dating: timedelta = timedelta(hours=1)
    """By how much a clock elsewhere may be behind ours."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the terms of a release: the names of its webhook's Service."""
        name = f"{settings.webhook_service}.{settings.namespace}.svc"
        return cls(names=(name, f"{name}.cluster.local"))


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that proves others, with the key that signs them."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | None = field(repr=False, compare=False)
    """None if it is lost: the authority still proves what it has signed."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """What the webhook serves with."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False, compare=False)


def new_authority(terms: Terms, now: datetime) -> Authority:
    """Make an authority that is like no other: API servers tell authorities of one name apart only by trying."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"choregos webhook authority {uuid.uuid4().hex}")
    certificate = (
        _builder(name, name, key, begin=now - terms.back_dating, end=now + terms.authority_lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def new_leaf(authority: Authority, terms: Terms, now: datetime) -> Leaf:
    """Make a certificate for the webhook, which never outlives its authority; the authority must have its key."""
    assert authority.key is not None, "an authority without a key signs nothing"
    key = ec.generate_private_key(ec.SECP256R1())
    signer = authority.certificate
    name = _name(terms.names[0].partition(".")[0][:COMMON_NAME_LIMIT])
    end = min(now + terms.leaf_lifetime, signer.not_valid_after_utc)
    names = x509.SubjectAlternativeName([x509.DNSName(each) for each in terms.names])
    certificate = (
        _builder(name, signer.subject, key, begin=now - terms.back_dating, end=end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(names, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return Leaf(certificate, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    serial = x509.random_serial_number()
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), serial, begin, end)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
