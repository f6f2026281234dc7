"""What a run of a service remembers: its ledger and the effects, both durable before an answer goes out.

The effects of a service stand in one SQLite file that its replicas share. A key is taken and its effect done in one
transaction, so that whoever honours `Idempotency-Key` does each effect once, however often it is killed.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from chaos.ledger import Effect, Ledger, Record

_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS effects (event TEXT, reaction TEXT, key TEXT, replica TEXT, at REAL);
"""
_LOCKED_FOR = 30.0


@dataclass(frozen=True)
class _Entry:
    record: Record
    effect: Effect | None
    durable: "asyncio.Future[None]"


class Records:
    """One thread writes for all calls, as many at a time as there are."""

    def __init__(self, ledger: Path, effects: Path, replica: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._ledger = Ledger(ledger)
        self._effects = effects
        self._replica = replica
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_forever)
        self._thread.start()

    async def write(self, record: Record, effect: Effect | None = None) -> None:
        """Do the effect, then write the record; returns once both are durable."""
        await self.put(record, effect)

    def put(self, record: Record, effect: Effect | None = None) -> "asyncio.Future[None]":
        """Do the same, for who does not wait."""
        durable = self._loop.create_future()
        self._queue.put(_Entry(record, effect, durable))
        return durable

    def close(self) -> None:
        """Write what there is, and end."""
        self._queue.put(None)
        self._thread.join()
        self._ledger.close()

    def _write_forever(self) -> None:
        with closing(open_effects(self._effects)) as store:
            last = False
            while not last:
                taken = [self._queue.get()]
                while not self._queue.empty():
                    taken.append(self._queue.get())
                entries = [each for each in taken if each is not None]
                last = len(entries) < len(taken)
                self._do([entry.effect for entry in entries if entry.effect], store)
                self._ledger.write(entry.record for entry in entries)
                self._loop.call_soon_threadsafe(_tell, entries)

    def _do(self, effects: list[Effect], store: sqlite3.Connection) -> None:
        if not effects:
            return
        store.execute("BEGIN IMMEDIATE")
        for each in effects:
            if each.key and not store.execute("INSERT OR IGNORE INTO keys VALUES (?)", (each.key,)).rowcount:
                continue
            done = (each.event, each.reaction, each.key, self._replica, time.monotonic())
            store.execute("INSERT INTO effects VALUES (?, ?, ?, ?, ?)", done)
        store.execute("COMMIT")


def _tell(entries: list[_Entry]) -> None:
    for entry in entries:
        if not entry.durable.done():
            entry.durable.set_result(None)


def open_effects(path: Path) -> sqlite3.Connection:
    """Open a service's effects, in a mode in which a commit is on the disk."""
    store = sqlite3.connect(path, timeout=_LOCKED_FOR, isolation_level=None)
    store.executescript(_SCHEMA)
    store.execute("PRAGMA synchronous = FULL")
    return store


def read_effects(path: Path) -> list[Effect]:
    """Return every effect that was done."""
    with closing(open_effects(path)) as store:
        return [Effect(*row) for row in store.execute("SELECT event, reaction, key FROM effects")]
