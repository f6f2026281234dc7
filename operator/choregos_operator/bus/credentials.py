"""Credentials for NATS, from a directory as a Secret is mounted; read anew for every connection.

The files are those of the ambassador: `nats.creds`, or `nkey`, or `username` and `password`, or `token`; beside them
`ca.crt`, `tls.crt` and `tls.key`. A missing directory is none at all.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nkeys

from choregos_operator.bus.faults import BusUnusable

METHODS: Final = (("nats.creds",), ("nkey",), ("username", "password"), ("token",))
TLS_FILES: Final = ("ca.crt", "tls.crt", "tls.key")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one connection is opened with, as nats-py takes it."""

    user: str | None = None
    password: str | None = None
    token: str | None = None
    jwt_and_seed: str | None = None
    """As in a file that `nsc` writes."""
    seed: str | None = None
    """Of an nkey."""
    tls: ssl.SSLContext | None = None
    """Set if there is a file for TLS: then a server without it gets no credentials."""


def read(directory: Path | None) -> Credentials:
    """Read what is in the directory now; raises BusUnusable, which names the file."""
    if directory is None:
        return Credentials()
    methods = [method for method in METHODS if any(_has(directory, name) for name in method)]
    if len(methods) > 1:
        named = ", or ".join(" and ".join(method) for method in methods)
        raise _unusable(f"{directory} holds more than one way to authenticate: {named}", "leave one of them")
    given = frozenset(methods[0]) if methods else frozenset()
    return Credentials(
        user=_text(directory, "username") if "username" in given else None,
        password=_text(directory, "password") if "password" in given else None,
        token=_text(directory, "token") if "token" in given else None,
        jwt_and_seed=_jwt_and_seed(directory / "nats.creds") if "nats.creds" in given else None,
        seed=_seed(directory / "nkey", _text(directory, "nkey")) if "nkey" in given else None,
        tls=_context(directory) if any(_has(directory, name) for name in TLS_FILES) else None,
    )


def _jwt_and_seed(path: Path) -> str:
    """Return the two sections of a creds file, and only them: nats-py reads for ever where one is missing."""
    text = _text(path.parent, path.name)
    jwt, seed = _section(text, "NATS USER JWT"), _section(text, "USER NKEY SEED")
    if jwt is None or seed is None:
        raise _unusable(f"{path} holds no user JWT with its seed", "write it with `nsc generate creds`")
    _seed(path, seed)
    return f"-----BEGIN NATS USER JWT-----\n{jwt}\n-----BEGIN USER NKEY SEED-----\n{seed}\n"


def _section(text: str, name: str) -> str | None:
    lines = iter(text.splitlines())
    for line in lines:
        if f"BEGIN {name}" in line:
            return next(lines, "").strip() or None
    return None


def _seed(path: Path, seed: str) -> str:
    try:
        nkeys.from_seed(bytearray(seed.encode()))
    except Exception as error:  # noqa: BLE001  the library raises what its parts raise
        what = f"{path} holds no usable seed of an nkey: {str(error) or type(error).__name__}"
        raise _unusable(what, "write the seed that `nsc` or `nk` made there") from None
    return seed


def _context(directory: Path) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=directory / "ca.crt" if _has(directory, "ca.crt") else None)
        if _has(directory, "tls.crt") or _has(directory, "tls.key"):
            # A key that asks for a password would have the process wait at a terminal.
            context.load_cert_chain(directory / "tls.crt", directory / "tls.key", password="")
    except (OSError, ValueError) as error:
        what = f"the certificates in {directory} cannot be used: {error}"
        raise _unusable(what, "put PEM files of an authority, and of a certificate and its key, there") from None
    return context


def _has(directory: Path, name: str) -> bool:
    return (directory / name).is_file()


def _text(directory: Path, name: str) -> str:
    try:
        text = (directory / name).read_text().strip()
    except (OSError, ValueError) as error:
        raise _unusable(f"{directory / name} cannot be used: {error}", "mend the Secret that it is of") from None
    if not text:
        raise _unusable(f"{directory / name} is empty", "mend the Secret that it is of")
    return text


def _unusable(sentence: str, mend: str) -> BusUnusable:
    return BusUnusable(sentence, mend, "CredentialsUnusable")
