"""Which ambassadors of a bus run, asked of all at once: who is slow to answer is waited for."""

import asyncio
from contextlib import suppress
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg

from choregos_contract.names import BusNames
from choregos_contract.running import SUBJECT, RunningAmbassador, read_answers

SILENCE: Final = 0.5
"""Seconds without a further answer after which all are taken to have answered."""
PATIENCE: Final = 10.0
"""Seconds for all answers. Of that, 3 for the first one: it may come through a slow tunnel, and if there is nobody, the
server says so at once."""
_FIRST: Final = 3.0


async def running_ambassadors(client: Client, names: BusNames) -> tuple[RunningAmbassador, ...]:
    """Return the ambassadors of a bus that answered, by service and pod; raises what nats-py raises."""
    return read_answers(await _gather(client), names)


async def _gather(client: Client) -> list[bytes]:
    """Ask everybody, and take answers until there is silence."""
    answers: list[bytes] = []
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    try:
        await client.publish(SUBJECT, reply=inbox)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while message := await _next(subscription, SILENCE if answers else _FIRST):
                    answers.append(message.data)
    finally:
        with suppress(Exception):
            await subscription.unsubscribe()
    return answers


async def _next(subscription: Any, patience: float) -> Msg | None:
    try:
        message: Msg = await subscription.next_msg(timeout=patience)
    except TimeoutError:
        return None
    # Nobody at all: the server says so at once.
    return None if (message.headers or {}).get("Status") == "503" and not message.data else message
