"""Ingestion: takes delivery requests from clients, and tells them later how each one ended."""

import uuid
from typing import Any

from aiohttp import web
from publish import publish
from service import DELIVERY_ID, event_data, json_object, serve

STATUS_BY_OUTCOME = {"DeliveryScheduled": "completed", "PackageRemoved": "failed"}

routes = web.RouteTableDef()
deliveries: dict[str, dict[str, Any]] = {}  # by id, as clients see them
outcome_ids: dict[str, set[str]] = {}  # the distinct outcome events of a delivery: there should never be two


def known(delivery_id: str, correlation_id: str) -> dict[str, Any]:
    """Return the delivery, created if need be: its outcome can be here before the answer of the publish API."""
    new = {"id": delivery_id, "correlationId": correlation_id, "status": "accepted", "details": None, "outcomes": 0}
    return deliveries.setdefault(delivery_id, new)


@routes.post("/deliveryrequests")
async def request_delivery(request: web.Request) -> web.Response:
    """Answer 202 only when the event is stored: from then on the request cannot be lost."""
    wanted = await json_object(request)
    delivery_id, weight = str(wanted.get("id") or uuid.uuid4()), wanted.get("weightKg")
    if not DELIVERY_ID.fullmatch(delivery_id):
        raise web.HTTPBadRequest(text="id must be 1 to 64 of A-Z a-z 0-9 . _ -")
    if not isinstance(weight, int | float) or not 0 < weight < float("inf"):
        raise web.HTTPBadRequest(text="weightKg must be a number above 0")
    if delivery_id not in deliveries:
        data = {"deliveryId": delivery_id, "weightKg": weight}
        known(delivery_id, await publish("DeliveryRequested", delivery_id, data))
    answer = {"id": delivery_id, "correlationId": deliveries[delivery_id]["correlationId"]}
    return web.json_response(answer, status=202, headers={"Location": f"/deliveryrequests/{delivery_id}"})


@routes.post("/outcomes")
async def outcome(request: web.Request) -> web.Response:
    """React to DeliveryScheduled and PackageRemoved; the first outcome stands, nothing follows from it."""
    data, status = await event_data(request), STATUS_BY_OUTCOME.get(request.headers.get("ce-type", ""))
    if status is None:
        raise web.HTTPUnprocessableEntity(text=f"ce-type must be one of {', '.join(STATUS_BY_OUTCOME)}")
    correlation_id = request.headers.get("ce-correlationid", "")
    delivery = known(data["deliveryId"], correlation_id)
    if delivery["status"] == "accepted":
        delivery.update(status=status, details=data, correlationId=correlation_id)
    seen = outcome_ids.setdefault(data["deliveryId"], set())
    seen.add(request.headers.get("ce-id", ""))
    delivery["outcomes"] = len(seen)
    return web.Response(status=204)


@routes.get("/deliveryrequests/{id}")
async def show(request: web.Request) -> web.Response:
    """Tell how a delivery ended: accepted (not yet), completed or failed."""
    if delivery := deliveries.get(request.match_info["id"]):
        return web.json_response(delivery)
    raise web.HTTPNotFound(text="no such delivery was requested here")


@routes.get("/deliveryrequests")
async def show_all(_: web.Request) -> web.Response:
    """List every delivery."""
    return web.json_response(list(deliveries.values()))


if __name__ == "__main__":
    serve(routes)
