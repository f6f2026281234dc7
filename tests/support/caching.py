"""What tests build once and keep: below the user's cache directory, keyed by what went in, one builder at a time."""

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def directory() -> Path:
    """Return the cache directory of the project, which nothing but its tests uses."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "choregos"


def key(parts: Iterable[bytes]) -> str:
    """Return a short name for what goes in; the order and the bounds of the parts count."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:".encode() + part)
    return digest.hexdigest()[:16]


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Wait until no other process holds this lock file, and hold it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
