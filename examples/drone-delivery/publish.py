"""How a service publishes an event that answers no other: plain JSON to the ambassador beside it."""

import json
import os
import sys
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp import web

PUBLISH_URL = os.environ.get("CHOREGOS_PUBLISH_URL", "").rstrip("/")
if not PUBLISH_URL.startswith(("http://", "https://")):
    sys.exit(f"CHOREGOS_PUBLISH_URL must be a URL such as http://127.0.0.1:9480, not {PUBLISH_URL!r}")


async def publish(event: str, key: str, data: dict[str, Any]) -> str:
    """Publish an event and return its correlation id; the key makes every repetition the same event.

    Whatever comes but the acknowledgement that the event is stored, our own client is told to try again: 503.
    """
    limit = aiohttp.ClientTimeout(total=10)
    with suppress(aiohttp.ClientError, TimeoutError):
        url, headers = f"{PUBLISH_URL}/events/{event}", {"Idempotency-Key": key}
        async with aiohttp.request("POST", url, json=data, headers=headers, timeout=limit) as answer:
            if answer.status == 201:
                return str((await answer.json())["correlationId"])
    refusal = json.dumps({"error": "not stored yet; send the request again with this id", "id": key})
    raise web.HTTPServiceUnavailable(text=refusal, content_type="application/json", headers={"Retry-After": "1"})
