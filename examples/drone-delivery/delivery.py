"""Delivery service: puts the flight of an assigned drone on the schedule."""

from aiohttp import web
from service import event_data, serve

routes = web.RouteTableDef()
flights: dict[str, str] = {}  # delivery id -> drone id


@routes.get("/deliveries")
async def schedule(_: web.Request) -> web.Response:
    """List the scheduled flights."""
    return web.json_response(flights)


@routes.post("/deliveries")
async def fly(request: web.Request) -> web.Response:
    """React to DroneAssigned; the answer becomes the data of DeliveryScheduled."""
    data = await event_data(request)
    if not isinstance(data.get("droneId"), str):
        raise web.HTTPBadRequest(text="the event's data must carry droneId, a string")
    flights[data["deliveryId"]] = data["droneId"]
    return web.json_response(data)


if __name__ == "__main__":
    serve(routes)
