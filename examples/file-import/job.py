"""The weekly job: publishes every file of the inbox as FileReceived, and ends.

The exit code is 0 if the bus has every file, from this run or an earlier one. The files stay where they are: the hash
of its content is the identity of an import, so a second run adds nothing.
"""

import asyncio
import hashlib
import os
import sys
import time
from pathlib import Path

import aiohttp
from service import setting

INBOX = Path(os.environ.get("INBOX") or Path(__file__).with_name("inbox"))
PATIENCE_S = setting("PATIENCE_S", most=3600, default="60")
LARGEST_FILE = 64 * 1024
"""Bytes. Adapted for the target, a file of short lines grows tenfold, and the bus takes 1 MiB in one event."""
PUBLISH_URL = os.environ.get("CHOREGOS_PUBLISH_URL", "").rstrip("/")
if not PUBLISH_URL.startswith(("http://", "https://")):
    sys.exit(f"CHOREGOS_PUBLISH_URL must be a URL such as http://127.0.0.1:9480, not {PUBLISH_URL!r}")
if not INBOX.is_dir():
    sys.exit(f"INBOX must be a directory, not {str(INBOX)!r}")


class NotPublishedError(Exception):
    """Why the bus does not have a file."""


async def publish_all(files: list[Path]) -> int:
    """Publish the files one after the other; one that cannot be published keeps no other back."""
    deadline, code = time.monotonic() + PATIENCE_S, 0
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        for file in files:
            try:
                print(f"{file.name}: {await publish(session, file.name, content(file), deadline)}", flush=True)
            except NotPublishedError as error:
                print(f"{file.name}: {error}", file=sys.stderr, flush=True)
                code = 1
    return code


def content(file: Path) -> bytes:
    """Return what is in a file; raises NotPublishedError for what cannot travel in an event."""
    try:
        read = file.read_bytes()
        read.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise NotPublishedError(f"cannot be read as UTF-8: {error}") from error
    if len(read) > LARGEST_FILE:
        raise NotPublishedError(f"has {len(read)} bytes; this import takes {LARGEST_FILE} at most")
    return read


async def publish(session: aiohttp.ClientSession, name: str, read: bytes, deadline: float) -> str:
    """Publish one file, trying again while the bus is away, and return what to tell about it."""
    import_id = hashlib.sha256(read).hexdigest()
    data, headers = {"importId": import_id, "file": name, "text": read.decode()}, {"Idempotency-Key": import_id}
    while True:
        try:
            async with session.post(f"{PUBLISH_URL}/events/FileReceived", json=data, headers=headers) as answer:
                if answer.status == 201:
                    stored = await answer.json()
                    how = "known already" if stored.get("duplicate") else "published"
                    return f"{how}, correlation id {stored['correlationId']}"
                said = f"{answer.status} {(await answer.text())[:300]}"
                if answer.status < 500:  # such as 403: the choreography does not let this service emit it
                    raise NotPublishedError(f"refused: {said}")
        except (aiohttp.ClientError, TimeoutError) as error:
            said = str(error) or "no answer"
        if time.monotonic() + 1 > deadline:
            raise NotPublishedError(f"not stored within {PATIENCE_S:g} s, run the job again: {said}")
        await asyncio.sleep(1)


if __name__ == "__main__":
    sys.exit(asyncio.run(publish_all(sorted(INBOX.glob("*.csv")))))
