"""A port of a Service in the cluster, on this machine's loopback, as long as it is needed."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from choregos_cli.cluster.complaints import complaint
from choregos_cli.cluster.kubectl import Kubectl
from choregos_cli.errors import UnreachableError
from choregos_cli.processes import Process, Processes

PATIENCE: Final = 15.0
"""Seconds for the first connection to stand."""
_GRACE: Final = 2.0
_FORWARDING: Final = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ->")


class Forwards:
    """Forwarded ports that connections share: one kubectl for each Service, however many buses are behind it."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self._open: dict[tuple[str, str, int], _Shared] = {}
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def to(self, namespace: str, service: str, port: int) -> AsyncIterator[int]:
        """Yield the same as `forwarded`, which ends with the last who uses it; raises CommandError."""
        key = namespace, service, port
        async with self._opening:
            if key not in self._open:
                async with AsyncExitStack() as stack:
                    local = await stack.enter_async_context(forwarded(self._kubectl, *key))
                    self._open[key] = _Shared(local, stack.pop_all())
            shared = self._open[key]
            shared.users += 1
        try:
            yield shared.port
        finally:
            shared.users -= 1
            if not shared.users:
                del self._open[key]
                await shared.stack.aclose()


@dataclass(slots=True)
class _Shared:
    port: int
    stack: AsyncExitStack
    users: int = 0


@asynccontextmanager
async def forwarded(kubectl: Kubectl, namespace: str, service: str, port: int) -> AsyncIterator[int]:
    """Yield the port on 127.0.0.1 that leads to a pod behind the Service; raises CommandError.

    kubectl forwards to one pod, and ends when that does; it always ends with us.
    """
    announced: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def heard(line: str) -> None:
        if (found := _FORWARDING.search(line)) and not announced.done():
            announced.set_result(int(found[1]))

    target = [f"--namespace={namespace}", f"service/{service}", f":{port}"]
    async with Processes() as processes:
        command = kubectl.command("port-forward", "--address=127.0.0.1", *target)
        process = await processes.start(command, environment=os.environ, directory=Path.cwd(), on_line=heard)
        try:
            yield await _announced(process, announced, f"{service}.{namespace}:{port}")
        finally:
            await process.stop(_GRACE)


async def _announced(process: Process, announced: asyncio.Future[int], where: str) -> int:
    ended = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait((announced, ended), timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended.cancel()
    if announced.done():
        return announced.result()
    said = "\n".join(process.tail)
    if process.running:
        hint = "check that a pod behind it runs and is ready, or give --nats URL"
        raise UnreachableError(f"kubectl could not forward a port to {where} within {PATIENCE:.0f} s", hint)
    error = complaint(said, f"forward a port to {where}")
    raise UnreachableError(error.what, f"{error.hint}; or give --nats URL") from None
