"""Drone scheduler: finds a drone for a package, or says that there is none. It answers with the event that happened."""

import hashlib
from typing import Any

from aiohttp import web
from service import event_data, serve, setting

NO_DRONE_RATE = setting("NO_DRONE_RATE", most=1, default="0")

routes = web.RouteTableDef()
drones: dict[str, str] = {}  # delivery id -> drone id


@routes.get("/drones")
async def fleet(_: web.Request) -> web.Response:
    """List which drone flies for which delivery."""
    return web.json_response(drones)


@routes.post("/drones")
async def assign(request: web.Request) -> web.Response:
    """React to PackageCreated with DroneAssigned or DroneUnavailable."""
    data = await event_data(request)
    delivery_id = data["deliveryId"]
    # Drone and luck are derived, not drawn: the same event again gets the same answer.
    digest = hashlib.sha256(delivery_id.encode()).hexdigest()
    if int(digest[:8], 16) / 16**8 < NO_DRONE_RATE:
        return event("DroneUnavailable", {"deliveryId": delivery_id, "reason": "every drone is in the air"})
    drones[delivery_id] = f"drone-{digest[8:14]}"
    return event("DroneAssigned", {**data, "droneId": drones[delivery_id]})


def event(kind: str, data: dict[str, Any]) -> web.Response:
    """Answer with one CloudEvent in binary mode: the attributes are headers, the body is the data."""
    headers = {
        "ce-specversion": "1.0",
        "ce-id": f"{kind}-{data['deliveryId']}",
        "ce-source": "/dronescheduler",
        "ce-type": kind,
    }
    return web.json_response(data, headers=headers)


if __name__ == "__main__":
    serve(routes)
