"""What the four services share: settings, JSON that comes in, faults on demand, the server. All of it is plain HTTP."""

import asyncio
import json
import os
import random
import re
import sys
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

DELIVERY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def setting(name: str, most: float, default: str = "") -> float:
    """Read a number from 0 to `most` from the environment, or end the process with a sentence that says what is wrong."""
    text = os.environ.get(name, default)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= most:  # refuses NaN too
        sys.exit(f"{name} must be a number from 0 to {most:g}, not {text!r}")
    return value


async def json_object(request: web.Request) -> dict[str, Any]:
    """Return the JSON object in the body; anything else is answered 400."""
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise web.HTTPBadRequest(text=f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body must be a JSON object")
    return body


async def event_data(request: web.Request) -> dict[str, Any]:
    """Return the data of the event; every event of this choreography carries `deliveryId`, or it is answered 400."""
    data = await json_object(request)
    delivery_id = data.get("deliveryId")
    if not isinstance(delivery_id, str) or not DELIVERY_ID.fullmatch(delivery_id):
        raise web.HTTPBadRequest(text="the event's data must carry deliveryId: 1 to 64 of A-Z a-z 0-9 . _ -")
    return data


def faults() -> Middleware:
    """Make events, and nothing else, meet a slow and failing service: FAIL_RATE (0 to 1), SLOW_MS, SEED."""
    fail_rate = setting("FAIL_RATE", most=1, default="0")
    slow = setting("SLOW_MS", most=600_000, default="0") / 1000
    dice = random.Random(os.environ.get("SEED"))

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if "ce-type" not in request.headers:
            return await handler(request)
        await asyncio.sleep(slow)
        draw = dice.random()
        if draw < fail_rate / 2:
            raise web.HTTPServiceUnavailable(text="a fault on demand, before the effect")
        answer = await handler(request)
        if draw < fail_rate:  # the harder half: the effect is there, and the event will come again
            raise web.HTTPServiceUnavailable(text="a fault on demand, after the effect")
        return answer

    return middleware


def serve(routes: web.RouteTableDef) -> None:
    """Serve on HOST:PORT until SIGTERM or SIGINT, then let running requests finish.

    HOST is 127.0.0.1 by default, where the ambassador finds the service; clients from elsewhere need more than that.
    """
    app = web.Application(middlewares=[faults()])
    app.add_routes(routes)
    host = os.environ.get("HOST", "127.0.0.1")
    web.run_app(app, host=host, port=int(setting("PORT", most=65535)), print=None)
