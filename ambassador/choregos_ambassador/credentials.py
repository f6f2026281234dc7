"""Credentials for NATS, from a directory as a Kubernetes Secret is mounted; read anew for every connection.

| file | what |
| --- | --- |
| `nats.creds` | a user's JWT and seed, as `nsc` writes them |
| `nkey` | the seed of an nkey |
| `username`, `password` | both |
| `token` | a token |
| `ca.crt` | certificates of the authorities that the server's is checked against; without it, the system's |
| `tls.crt`, `tls.key` | the client's own certificate and key, for mutual TLS |

One way to authenticate, or none; TLS beside it or alone. A file that is replaced is used from the next connection on.
"""

import base64
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nats.errors import Error

METHODS: Final = (("nats.creds",), ("nkey",), ("username", "password"), ("token",))
TLS_FILES: Final = ("ca.crt", "tls.crt", "tls.key")


class CredentialsError(Error):
    """The files cannot be used; the message names them. A kind of nats-py's errors, so that it tries again."""


class Credentials:
    """What is in the directory now; without a directory, nothing."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    @classmethod
    def at(cls, directory: str | None) -> "Credentials":
        """Name the directory, or none."""
        return cls(None if directory is None else Path(directory))

    def fields(self, nonce: str) -> dict[str, str]:
        """Return what goes into the CONNECT message of the NATS protocol; raises CredentialsError."""
        methods = [method for method in METHODS if any(self._has(name) for name in method)]
        if len(methods) > 1:
            named = ", or ".join(" and ".join(method) for method in methods)
            raise CredentialsError(f"{self._directory} holds more than one way to authenticate: {named}; leave one")
        if not methods:
            return {}
        write: Callable[[str], dict[str, str]] = {
            "nats.creds": self._jwt,
            "nkey": self._nkey,
            "username": self._password,
            "token": lambda _: {"auth_token": self._read("token")},
        }[methods[0][0]]
        return write(nonce)

    @property
    def wants_tls(self) -> bool:
        """Whether there is a file for TLS: then a server without it gets no credentials."""
        return any(self._has(name) for name in TLS_FILES)

    def ssl_context(self) -> ssl.SSLContext:
        """Build the context of one connection; raises CredentialsError."""
        with self._usable("ca.crt"):
            context = ssl.create_default_context(cafile=self._path("ca.crt") if self._has("ca.crt") else None)
        if self._has("tls.crt") or self._has("tls.key"):
            with self._usable("tls.crt", "tls.key"):
                # A key that asks for a password would have the process wait at a terminal.
                context.load_cert_chain(self._path("tls.crt"), self._path("tls.key"), password="")
        return context

    def _password(self, _nonce: str) -> dict[str, str]:
        return {"user": self._read("username"), "pass": self._read("password")}

    def _nkey(self, nonce: str) -> dict[str, str]:
        public, signature = self._sign("nkey", self._read("nkey"), nonce)
        return {"nkey": public, "sig": signature}

    def _jwt(self, nonce: str) -> dict[str, str]:
        text = self._read("nats.creds")
        jwt, seed = _section(text, "NATS USER JWT"), _section(text, "USER NKEY SEED")
        if jwt is None or seed is None:
            raise CredentialsError(
                f"{self._path('nats.creds')} holds no user JWT with its seed; `nsc generate creds` does"
            )
        return {"jwt": jwt, "sig": self._sign("nats.creds", seed, nonce)[1]}

    def _sign(self, name: str, seed: str, nonce: str) -> tuple[str, str]:
        import nkeys  # noqa: PLC0415  most connections need no signature

        try:
            pair = nkeys.from_seed(bytearray(seed.encode()))
            signature = pair.sign(nonce.encode())
        except Exception as error:  # noqa: BLE001  the library raises what its parts raise
            what = str(error) or type(error).__name__
            raise CredentialsError(f"{self._path(name)} holds no usable seed of an nkey: {what}") from None
        return pair.public_key.decode(), base64.b64encode(signature).decode()

    def _has(self, name: str) -> bool:
        return self._directory is not None and self._path(name).is_file()

    def _path(self, name: str) -> Path:
        assert self._directory is not None
        return self._directory / name

    def _read(self, name: str) -> str:
        with self._usable(name):
            text = self._path(name).read_text().strip()
        if not text:
            raise CredentialsError(f"{self._path(name)} is empty")
        return text

    @contextmanager
    def _usable(self, *names: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            paths = " and ".join(str(self._path(name)) for name in names)
            raise CredentialsError(f"{paths} cannot be used: {error}") from None


def _section(text: str, name: str) -> str | None:
    """Return what stands between the BEGIN line of a section and the next line of dashes."""
    lines = iter(text.splitlines())
    for line in lines:
        if f"BEGIN {name}" in line:
            return next(lines, "").strip() or None
    return None
