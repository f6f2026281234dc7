"""The few fields of an X.509 certificate that a check is about, read from its DER (RFC 5280, section 4.1).

The CLI needs no library of cryptography for this: it verifies nothing, the API server does.
"""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_BLOCK: Final = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
_VERSION: Final = 0xA0


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate."""

    issuer: bytes
    """Name of who signed it, as DER."""
    subject: bytes
    """Its own name, as DER."""
    not_before: datetime
    not_after: datetime


def certificates(pem: bytes) -> tuple[Certificate, ...]:
    """Read all certificates of a PEM text; raises ValueError for what is none."""
    try:
        return tuple(_certificate(base64.b64decode(found[1])) for found in _BLOCK.finditer(pem))
    except (ValueError, IndexError) as error:
        raise ValueError(f"no certificate: {error}") from None


def _certificate(der: bytes) -> Certificate:
    (_, outer), *_ = _items(der)
    (_, signed), *_ = _items(outer)
    fields = [content for tag, content in _items(signed) if tag != _VERSION]
    _, _, issuer, validity, subject = fields[:5]
    begin, end = (_moment(tag, text.decode("ascii")) for tag, text in _items(validity))
    return Certificate(issuer, subject, begin, end)


def _items(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of what stands in a row."""
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(der[at : at + size]), at + size
        yield tag, der[at : at + length]
        at += length


def _moment(tag: int, text: str) -> datetime:
    """Read a UTCTime (two digits of the year) or a GeneralizedTime."""
    utc_time = 0x17
    if tag == utc_time:
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
