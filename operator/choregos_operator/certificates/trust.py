"""What a certificate is worth: how much time is left of it, and whether an authority proves it."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from choregos_operator.certificates.issue import Terms

_BLOCK: Final = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")


def certificates_in(text: bytes) -> frozenset[x509.Certificate]:
    """Return the certificates of a text in PEM, and pass over whatever else is in it."""
    return frozenset(found for block in _BLOCK.findall(text) if (found := _certificate(block)))


def bundle_of(certificates: Iterable[x509.Certificate]) -> bytes:
    """Write certificates in PEM: the same bytes for the same certificates, in whatever order they come."""
    return b"".join(sorted(each.public_bytes(Encoding.PEM) for each in certificates))


def renewal_due(certificate: x509.Certificate, terms: Terms) -> datetime:
    """Return the time when two thirds of the certificate's life are over."""
    end = certificate.not_valid_after_utc
    begin = min(certificate.not_valid_before_utc + terms.back_dating, end)
    return end - (end - begin) / 3


def proves(authority: x509.Certificate, leaf: x509.Certificate, terms: Terms, now: datetime) -> bool:
    """Whether a client that trusts this authority takes this certificate for every one of our names."""
    verification = PolicyBuilder().store(Store([authority])).time(now)
    try:
        for name in terms.names:
            verification.build_server_verifier(x509.DNSName(name)).verify(leaf, [])
    except (VerificationError, ValueError, UnsupportedAlgorithm):
        return False
    return True


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether the certificate may sign others."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _certificate(block: bytes) -> x509.Certificate | None:
    try:
        found = x509.load_pem_x509_certificate(block)
        # Broken dates, names and extensions are found when they are asked for, and nobody asks later.
        _ = (found.not_valid_after_utc, found.not_valid_before_utc, found.subject, found.extensions)
    except (ValueError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return None
    return found
