"""Keys and JWTs of NATS' decentralised authentication, as `nsc` would make them."""

import base64
import json
import os
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import nkeys


@dataclass(frozen=True)
class Key:
    """A key pair; `public` is its name."""

    seed: str

    @classmethod
    def of(cls, kind: int) -> "Key":
        """Make a new one; `kind` is one of the library's `PREFIX_BYTE_*`."""
        return cls(nkeys.encode_seed(os.urandom(32), kind).decode())

    @property
    def public(self) -> str:
        return str(self._pair.public_key.decode())

    def sign(self, text: str) -> str:
        return _encoded(self._pair.sign(text.encode()))

    @property
    def _pair(self) -> Any:
        return nkeys.from_seed(bytearray(self.seed.encode()))


def user_key() -> Key:
    return Key.of(nkeys.PREFIX_BYTE_USER)


class Chain:
    """An operator and its accounts; `config` is what a server needs to trust them."""

    def __init__(self) -> None:
        self.operator = Key.of(nkeys.PREFIX_BYTE_OPERATOR)
        self.system, self.account = (Key.of(nkeys.PREFIX_BYTE_ACCOUNT) for _ in range(2))
        claims = {"type": "operator", "version": 2, "system_account": self.system.public}
        self._operator_jwt = _jwt(self.operator, self.operator, "operator", claims)  # no reload takes another one

    def config(self, *, revoked: str | None = None) -> str:
        """Configure a server; `revoked` is the public key of a user who is out."""
        jetstream = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
        unlimited = dict.fromkeys(("subs", "conn", "leaf", "imports", "exports", "data", "payload"), -1)
        account = {"type": "account", "version": 2, "limits": unlimited | {"wildcards": True}}
        ours = account | {"limits": account["limits"] | jetstream}  # type: ignore[operator]
        if revoked is not None:
            ours["revocations"] = {revoked: int(time.time())}
        return f"""
            operator: {self._operator_jwt}
            system_account: {self.system.public}
            resolver: MEMORY
            resolver_preload: {{
              {self.system.public}: {_jwt(self.operator, self.system, "SYS", account)}
              {self.account.public}: {_jwt(self.operator, self.account, "ours", ours)}
            }}
            """

    def creds(self, user: Key, *, valid_for: float | None = None) -> str:
        """Return the creds file of a user of the account; `valid_for` in seconds."""
        claims = {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}
        jwt = _jwt(self.account, user, "ambassador", claims, valid_for)
        return f"""-----BEGIN NATS USER JWT-----
{jwt}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
{user.seed}
------END USER NKEY SEED------
"""


def _jwt(issuer: Key, subject: Key, name: str, claims: dict[str, Any], valid_for: float | None = None) -> str:
    now = time.time()
    body = {"iat": int(now), "iss": issuer.public, "sub": subject.public, "name": name, "nats": claims}
    if valid_for is not None:
        body["exp"] = int(now + valid_for)
    body["jti"] = base64.b32encode(sha256(json.dumps(body).encode()).digest()).decode().rstrip("=")
    signed = f"{_part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_part(body)}"
    return f"{signed}.{issuer.sign(signed)}"


def _part(value: dict[str, Any]) -> str:
    return _encoded(json.dumps(value).encode())


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
