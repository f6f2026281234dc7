"""Package service: packs what was requested, and takes it off the shelf again when no drone can be had."""

from aiohttp import web
from service import event_data, serve

MAX_WEIGHT_KG = 20

routes = web.RouteTableDef()
packages: dict[str, str] = {}  # delivery id -> packed | removed


@routes.get("/healthz")
async def health(_: web.Request) -> web.Response:
    """Answer 2xx while events may flow."""
    return web.Response(text="ok")


@routes.get("/packages")
async def shelf(_: web.Request) -> web.Response:
    """List every package and its state."""
    return web.json_response(packages)


@routes.post("/packages")
async def pack(request: web.Request) -> web.Response:
    """React to DeliveryRequested; the answer becomes the data of PackageCreated."""
    data = await event_data(request)
    weight = data.get("weightKg")
    if not isinstance(weight, int | float) or not 0 < weight <= MAX_WEIGHT_KG:
        # 422: no retry can help, so the event becomes a dead letter at once.
        raise web.HTTPUnprocessableEntity(text=f"weightKg must be above 0 and at most {MAX_WEIGHT_KG}, not {weight!r}")
    delivery_id = data["deliveryId"]
    packages.setdefault(delivery_id, "packed")  # a repeated event must not bring a removed package back
    return web.json_response({**data, "packageId": f"package-{delivery_id}"})


@routes.post("/packages/removals")
async def remove(request: web.Request) -> web.Response:
    """React to DroneUnavailable; the answer becomes the data of PackageRemoved.

    The drone scheduler sends a reason. When it has failed for good, the ambassador sends what the scheduler
    could not process, the data of PackageCreated: the delivery id stands in both.
    """
    data = await event_data(request)
    packages[data["deliveryId"]] = "removed"
    reason = data.get("reason", "the drone scheduler failed")
    return web.json_response({"deliveryId": data["deliveryId"], "reason": reason})


if __name__ == "__main__":
    serve(routes)
