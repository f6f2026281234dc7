"""Certificates of a private authority, made by the `openssl` command."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """An authority of its own; `issue` has it sign certificates for 127.0.0.1, or for whom else."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self.pair = self._make(name)

    @property
    def certificate(self) -> Path:
        return self.pair.certificate

    def issue(self, name: str, whom: str = "IP:127.0.0.1") -> Pair:
        extensions = ("-addext", "basicConstraints=critical,CA:FALSE", "-addext", f"subjectAltName={whom}")
        return self._make(name, *extensions, "-CA", self.pair.certificate, "-CAkey", self.pair.key)

    def _make(self, name: str, *options: str | Path) -> Pair:
        pair = Pair(self._directory / f"{name}.crt", self._directory / f"{name}.key")
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-subj", f"/CN={name}", "-days", "2", "-keyout", str(pair.key), "-out", str(pair.certificate)]
        subprocess.run([*command, *options], check=True, capture_output=True)
        return pair
