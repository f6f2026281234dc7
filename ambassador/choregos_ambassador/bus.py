"""The bus: records stored with a publish acknowledgement, one by one or as an atomic batch."""

from collections.abc import Mapping, Sequence
from typing import Final

import nats.errors
from nats.nuid import NUID

from choregos_ambassador.connection import Connection
from choregos_ambassador.credentials import Credentials
from choregos_ambassador.fail_point import reach
from choregos_ambassador.log import log
from choregos_ambassador.metrics import Metrics
from choregos_ambassador.storing import MAX_HEADERS, BusFault, Conflict, Record, Stored, TooLarge, acknowledgement

ATOMIC_SINCE: Final = (2, 12)
BATCH_HEADERS: Final = 256
"""Bytes, rounded up, that a record grows by as a part of an atomic batch."""
_NO_ATOMIC_PUBLISH: Final = 10174
_BATCH_TOO_LARGE: Final = 10199
_DUPLICATE_IN_BATCH: Final = 10201
_CONFLICTS: Final = frozenset({10071, 10164})
"""Wrong last sequence; the second one while another record of the subject is on its way to the replicas."""
_ONE_BY_ONE: Final = frozenset({_NO_ATOMIC_PUBLISH, _BATCH_TOO_LARGE, _DUPLICATE_IN_BATCH})
"""Errors that say that these records will never do as a batch, though each of them may do alone."""


class Bus(Connection):
    """The bus, over a connection that is there for good."""

    def __init__(self, metrics: Metrics, credentials: Credentials) -> None:
        super().__init__(metrics, credentials)
        self._batches = NUID()

    @property
    def atomic(self) -> bool:
        """Whether the server stores a batch as one (ADR-50)."""
        return self.client.is_connected and self.server_version >= ATOMIC_SINCE

    async def publish(self, record: Record) -> Stored:
        """Store one record; raises BusFault or TooLarge."""
        self.check_size(record)
        return self._accepted(await self.ask(record.subject, record.payload, record.block))

    async def replace(self, record: Record, last: int) -> Stored:
        """Store a record if `last` is the last sequence of its subject, 0 for none; raises BusFault, TooLarge and Conflict."""
        return await self.publish(_with_headers(record, {"Nats-Expected-Last-Subject-Sequence": str(last)}))

    async def publish_all(self, records: Sequence[Record], *, first_last: bool = False) -> list[Stored]:
        """Store records in order, as one atomic batch where the server can (ADR-50); raises BusFault or TooLarge.

        `first_last`: where they must go one by one, the first of them goes last, to prove that all the others are there.
        """
        for record in records:
            self.check_size(record)
        if len(records) > 1 and self.atomic and all(self._fits_batch(record) for record in records):
            stored = await self._publish_atomically(records)
            if stored is not None:
                return stored
        return await self._publish_singly([*records[1:], *records[:1]] if first_last else records)

    def check_size(self, record: Record) -> None:
        """Raise TooLarge where the server would cut the connection, or the stream refuse the record for ever."""
        if self.client.is_connected and record.size > self.max_payload:
            raise TooLarge(record.size, self.max_payload)
        if len(record.block) > MAX_HEADERS:
            raise TooLarge(len(record.block), MAX_HEADERS, "of headers")

    def _fits_batch(self, record: Record) -> bool:
        return record.size + BATCH_HEADERS <= self.max_payload and len(record.block) + BATCH_HEADERS <= MAX_HEADERS

    async def _publish_singly(self, records: Sequence[Record]) -> list[Stored]:
        stored: list[Stored] = []
        for record in records:
            try:
                stored.append(await self.publish(record))
            except BusFault as fault:
                fault.stored = stored
                raise
            reach("after-single")
        return stored

    async def _publish_atomically(self, records: Sequence[Record]) -> list[Stored] | None:
        """Store all or nothing; None if the server will not take these as a batch, so that they go one by one.

        A batch in which one record is a duplicate is refused whole: it was stored before, if perhaps by halves.
        """
        batch = self._batches.next().decode()
        *firsts, last = [
            _with_headers(record, {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(index)})
            for index, record in enumerate(records, start=1)
        ]
        for record in firsts:
            self._send(record)
        reach("before-commit")
        commit = _with_headers(last, {"Nats-Batch-Commit": "1"})
        answer = await self.ask(commit.subject, commit.payload, commit.block)
        error = acknowledgement(answer).error
        if error is not None and error.err_code in _ONE_BY_ONE:
            log.debug("batch refused", error=error.description)
            return None
        stored = self._accepted(answer)
        return [Stored(stored.stream, stored.seq - len(records) + index) for index in range(1, len(records) + 1)]

    def _send(self, record: Record) -> None:
        try:
            self.client.send(record.subject.encode(), record.payload, headers=record.block)
        except nats.errors.Error as error:
            raise self._fault(error, record.subject) from error

    def _accepted(self, answer: bytes) -> Stored:
        stored = acknowledgement(answer)
        if stored.error is not None:
            if stored.error.err_code in _CONFLICTS:
                raise Conflict(stored.error.description)
            self._metrics.bus_faults.inc()
            raise BusFault(stored.error.description, err_code=stored.error.err_code)
        return stored


def _with_headers(record: Record, headers: Mapping[str, str]) -> Record:
    return Record(record.subject, {**record.headers, **headers}, record.payload)
