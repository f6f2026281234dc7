"""Certificates of a test cluster: an authority that API server and clients trust, and what it signs."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAYS = 7


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


def private_key(file: Path) -> ec.EllipticCurvePrivateKey:
    """Make a private key and write it to a file."""
    key = ec.generate_private_key(ec.SECP256R1())
    file.touch(mode=0o600)
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    return key


def request(key: ec.EllipticCurvePrivateKey, user: str, groups: Sequence[str]) -> bytes:
    """Return a signing request (PEM) for a user of Kubernetes, whose groups are the organizations."""
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_subject(user, groups))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


class Authority:
    """A certificate authority in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.pair = Pair(directory / "ca.crt", directory / "ca.key")
        self._key = private_key(self.pair.key)
        self._name = _subject("test-cluster", ())
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = self._builder(self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self._write(builder.add_extension(usage, critical=True), self.pair.certificate)

    def server(self, name: str, hosts: Sequence[str]) -> Pair:
        """Sign a certificate for a server of those host names and addresses."""
        names = x509.SubjectAlternativeName([_host(host) for host in hosts])
        return self._issue(name, (), ExtendedKeyUsageOID.SERVER_AUTH, names)

    def client(self, name: str, groups: Sequence[str]) -> Pair:
        """Sign a certificate for a user of Kubernetes."""
        return self._issue(name, groups, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _issue(
        self,
        name: str,
        groups: Sequence[str],
        usage: x509.ObjectIdentifier,
        names: x509.SubjectAlternativeName | None = None,
    ) -> Pair:
        pair = Pair(self._directory / f"{name}.crt", self._directory / f"{name}.key")
        builder = self._builder(_subject(name, groups), private_key(pair.key).public_key())
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        self._write(builder.add_extension(names, critical=False) if names else builder, pair.certificate)
        return pair

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder(issuer_name=self._name, subject_name=subject, public_key=key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=_DAYS))
        )

    def _write(self, builder: x509.CertificateBuilder, file: Path) -> None:
        file.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))


def _subject(name: str, groups: Sequence[str]) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
