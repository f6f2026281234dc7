"""The certificate that the webhook serves, followed as the files of its Secret change.

Every new connection is served with the certificate that was read last; those that are open go on as they are. A fresh
context is made for each certificate, because OpenSSL keeps one per kind of key: reloaded in place, an old EC certificate
would go on beside a new RSA one. What cannot be read (half of the files are new, or they do not fit) changes nothing.
"""

import asyncio
import ssl
import time
from pathlib import Path
from typing import Final

from cryptography import x509

from choregos_operator.log import log
from choregos_operator.webhook.metrics import Metrics

LOOK_EVERY: Final = 1.0
"""Seconds between two looks. Looking works on every file system, and with the links of a Secret's volume."""


class Certificate:
    """`tls.crt` and `tls.key` of a directory, which may come later."""

    def __init__(self, directory: Path, metrics: Metrics) -> None:
        self._certificate, self._key = directory / "tls.crt", directory / "tls.key"
        self._metrics = metrics
        self._current: ssl.SSLContext | None = None
        self._seen: tuple[bytes, bytes] | None = None
        self._expiry = 0.0
        self._told = ""
        self.problem: str | None = f"no certificate in {directory} yet"
        """Why nothing can be served; None once something can."""
        self.present = asyncio.Event()
        """Set as soon as there was a certificate."""
        self.context = _context()
        """What to listen with; it hands each connection on to the certificate of the day."""
        self.context.sni_callback = self._hand_on

    def look(self) -> None:
        """Take in the files if they have changed."""
        try:
            seen = self._certificate.read_bytes(), self._key.read_bytes()
        except OSError as error:
            self._doubt(f"{error.filename} cannot be read: {error.strerror}")
            return
        if seen != self._seen:
            self._take(seen)
        if self._current and self._expiry <= time.time():
            # Still served, and still ready: "certificate has expired" tells the API server's users more than no answer.
            self._doubt("the certificate has expired")

    async def follow(self) -> None:
        """Look again and again."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY)

    def _take(self, seen: tuple[bytes, bytes]) -> None:
        context = _context()
        try:
            context.load_cert_chain(self._certificate, self._key)
            expiry = x509.load_pem_x509_certificate(seen[0]).not_valid_after_utc
        except (ssl.SSLError, OSError, ValueError) as error:
            self._doubt(f"{self._certificate} and tls.key beside it cannot be used: {error}")
            return
        self._current, self._seen, self._expiry = context, seen, expiry.timestamp()
        self._metrics.certificate_expiry.set(self._expiry)
        self.problem, self._told = None, ""
        self.present.set()
        log.info("certificate", expires=expiry.isoformat())

    def _doubt(self, problem: str) -> None:
        """Say once what is wrong; what was good before is served on."""
        if self._current is None:
            self.problem = problem
        if problem != self._told:
            self._told = problem
            log.warning("certificate", problem=problem, served=self._current is not None)

    def _hand_on(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        if self._current:
            connection.context = self._current


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The API server resumes no session, and one must not outlive the certificate that it began with.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    return context
