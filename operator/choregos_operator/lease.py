"""The Lease that one controller at a time holds; the others wait for it.

As in client-go's leader election: a Lease is taken when it was not renewed for its own duration, as measured by the clock of
who waits, and every write names the version that it follows, so that of two who take it one loses. An API server that is away
for less than the renewal deadline costs no leadership. Who ends in order gives the Lease back. (The election of the Python
client library refuses its own requests in release 37, and writes local times as UTC.)
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from kubernetes.aio.client import ApiClient, ApiException

from choregos_operator.kube import Away, Body, call, message
from choregos_operator.log import log

DEADLINE: Final = 2 / 3
"""Part of the Lease's duration in which a renewal must succeed, or the work ends."""
RETRY: Final = 1 / 6
"""Part of the Lease's duration between two renewals, and between two looks of those who wait."""
GIVE_BACK_WITHIN: Final = 5.0
"""Seconds that the end of the process waits for an API server that hangs."""


class Lost(Exception):  # noqa: N818  named by what it means for the caller
    """Another controller may hold the Lease by now: this one must not go on."""


class Lease:
    """One Lease, as one candidate sees it; who did not renew it for `duration` seconds has lost it."""

    def __init__(self, client: ApiClient, *, namespace: str, name: str, identity: str, duration: int = 30) -> None:
        self._client = client
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name, self._identity = name, identity
        self._duration, self._deadline, self._retry = duration, duration * DEADLINE, duration * RETRY
        self._seen: Body | None = None
        self._seen_at = 0.0
        self._told = ""

    async def hold(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait for the Lease, do the work while it is held, and give it back; raises Lost, and what the work raises."""
        told = False
        while not await self._taken():
            if not told:
                told = True
                log.info("waiting for the lease", lease=self._name, holder=self._holder)
            await asyncio.sleep(self._retry)
        log.info("holding the lease", lease=self._name, identity=self._identity)
        tasks = asyncio.create_task(work(), name="work"), asyncio.create_task(self._renew(), name="renew the lease")
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._give_back()

    @property
    def _holder(self) -> str | None:
        return self._seen["spec"].get("holderIdentity") if self._seen else None

    async def _taken(self) -> bool:
        """Take the Lease, or renew it; returns whether it is held now."""
        try:
            await self._look()
            if self._seen is None:
                self._see(await call(self._client, "POST", self._collection, body=self._wanted(None)))
                return True
            expires = self._seen_at + self._seen["spec"].get("leaseDurationSeconds", self._duration)
            if self._holder not in (None, "", self._identity) and time.monotonic() < expires:
                return False
            await self._write(self._wanted(self._seen))
        except (Away, ApiException) as error:
            if isinstance(error, Away) or error.status != 409:
                self._tell(_sentence(error))
            return False
        self._told = ""
        return True

    def _tell(self, reason: str) -> None:
        """Warn, once while it lasts."""
        if reason != self._told:
            log.warning("the lease could not be reached", lease=self._name, reason=reason)
            self._told = reason

    async def _look(self) -> None:
        try:
            found = await call(self._client, "GET", f"{self._collection}/{self._name}")
        except ApiException as error:
            if error.status != 404:
                raise
            self._seen = None
        else:
            if self._seen is None or found["metadata"]["resourceVersion"] != self._seen["metadata"]["resourceVersion"]:
                self._see(found)

    def _see(self, lease: Body) -> None:
        # A Lease that somebody made by hand may have no spec.
        self._seen, self._seen_at = {**lease, "spec": lease.get("spec") or {}}, time.monotonic()

    async def _renew(self) -> None:
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(self._retry)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._deadline - (time.monotonic() - renewed)):
                    if await self._taken():
                        renewed = time.monotonic()
            if self._holder != self._identity:
                raise Lost(f"the lease {self._name} is held by {self._holder or 'nobody'} now, not by {self._identity}")
            if time.monotonic() - renewed > self._deadline - self._retry:
                raise Lost(f"the lease {self._name} was not renewed for {time.monotonic() - renewed:.0f} s")

    async def _give_back(self) -> None:
        """Take our name off the Lease; if that fails, it expires."""
        if self._seen is None or self._holder != self._identity:
            return
        spec = {key: value for key, value in self._seen["spec"].items() if key != "holderIdentity"}
        with suppress(Away, ApiException, TimeoutError):
            async with asyncio.timeout(GIVE_BACK_WITHIN):
                await self._write({**self._seen, "spec": spec})

    async def _write(self, lease: Body) -> None:
        self._see(await call(self._client, "PUT", f"{self._collection}/{self._name}", body=lease))

    def _wanted(self, existing: Body | None) -> Body:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec = dict(existing["spec"]) if existing else {}
        if spec.get("holderIdentity") != self._identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = spec.get("leaseTransitions", -1) + 1
        spec |= {"holderIdentity": self._identity, "leaseDurationSeconds": self._duration, "renewTime": now}
        head = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
        return {**head, "metadata": existing["metadata"] if existing else {"name": self._name}, "spec": spec}


def _sentence(error: Away | ApiException) -> str:
    if isinstance(error, Away):
        return str(error)
    if error.status == 403:
        return f"{message(error)}; bind the release's Role to the operator's service account"
    if error.status == 404:
        return f"{message(error)}; CHOREGOS_NAMESPACE must name the release's namespace"
    return f"the API server answers {error.status}: {message(error)}"
