"""What the services share: settings, events that come and go, faults on demand, the server. All of it is plain HTTP."""

import json
import os
import random
import re
import sys
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

IMPORT_ID = re.compile(r"[0-9a-f]{64}")
LARGEST_EVENT = 4 * 1024 * 1024  # bytes; the bus takes 1 MiB, unless its server is told otherwise


def setting(name: str, most: float, default: str = "", least: float = 0) -> float:
    """Read a number from the environment, or end the process with a sentence that says what is wrong."""
    text = os.environ.get(name, default)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:  # refuses NaN too
        sys.exit(f"{name} must be a number from {least:g} to {most:g}, not {text!r}")
    return value


async def event_data(request: web.Request, *texts: str) -> dict[str, Any]:
    """Return the data of the event, with `importId` and these texts in it; without, no retry can help: 422."""
    try:
        data = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise web.HTTPUnprocessableEntity(text=f"the event's data is not JSON: {error}") from error
    if not isinstance(data, dict) or not IMPORT_ID.fullmatch(str(data.get("importId"))):
        raise web.HTTPUnprocessableEntity(text="the event's data must carry importId: a SHA-256, 64 hex digits")
    if missing := [name for name in texts if not isinstance(data.get(name), str)]:
        raise web.HTTPUnprocessableEntity(text=f"the event's data must carry {', '.join(missing)}, a text")
    return data


def event(kind: str, source: str, data: dict[str, Any]) -> web.Response:
    """Answer with one CloudEvent in binary mode: the attributes are headers, the body is the data."""
    identity = {"ce-id": f"{kind}-{data['importId']}", "ce-source": source, "ce-type": kind}
    return web.json_response(data, headers={"ce-specversion": "1.0", **identity})


def faults() -> Middleware:
    """Make events, and nothing else, meet a failing service: FAIL_RATE (0 to 1), SEED."""
    fail_rate = setting("FAIL_RATE", most=1, default="0")
    dice = random.Random(os.environ.get("SEED"))

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if "ce-type" not in request.headers:
            return await handler(request)
        draw = dice.random()
        if draw < fail_rate / 2:
            raise web.HTTPServiceUnavailable(text="a fault on demand, before the effect")
        answer = await handler(request)
        if draw < fail_rate:  # the harder half: the effect is there, and the event will come again
            raise web.HTTPServiceUnavailable(text="a fault on demand, after the effect")
        return answer

    return middleware


def application(routes: web.RouteTableDef) -> web.Application:
    """Build a service of these routes."""
    app = web.Application(middlewares=[faults()], client_max_size=LARGEST_EVENT)
    app.add_routes(routes)
    return app


def serve(app: web.Application) -> None:
    """Serve on 127.0.0.1:PORT until SIGTERM or SIGINT, then let running requests finish."""
    web.run_app(app, host="127.0.0.1", port=int(setting("PORT", most=65535)), print=None)
