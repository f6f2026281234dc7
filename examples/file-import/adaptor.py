"""Adaptor: makes a batch for the target out of a file, and removes it again when the target will not have it."""

import csv
from typing import Any

from aiohttp import web
from service import application, event_data, serve
from table import rows

routes = web.RouteTableDef()
batches: dict[str, str] = {}  # import id -> prepared | removed


@routes.get("/batches")
async def show(_: web.Request) -> web.Response:
    """List every batch and its state."""
    return web.json_response(batches)


@routes.post("/batches")
async def prepare(request: web.Request) -> web.Response:
    """React to FileValidated; the answer becomes the data of FileAdapted.

    The file's text goes along: whoever finds this event as a dead letter has the file in hand.
    """
    data = await event_data(request, "file", "text")
    try:
        _, *customers = [customer(*row) for _, row in rows(data["text"])]
    except (csv.Error, TypeError, ValueError) as error:
        raise web.HTTPUnprocessableEntity(text=f"text is no file of customers: {error}") from error
    batches.setdefault(data["importId"], "prepared")  # a repeated event must not bring a removed batch back
    return web.json_response({**data, "customers": customers})


@routes.post("/batches/removals")
async def remove(request: web.Request) -> web.Response:
    """React to CreationFailed, which carries the data of FileAdapted; the answer becomes the data of BatchRemoved."""
    data = await event_data(request, "file")
    batches[data["importId"]] = "removed"
    why = request.headers.get("ce-choregosreason", "for a reason that nobody told")
    return web.json_response({"importId": data["importId"], "file": data["file"], "reason": f"creation failed: {why}"})


def customer(number: str, name: str, email: str, country: str) -> dict[str, Any]:
    """Return a customer in the shape that the target wants."""
    return {"id": number, "displayName": name, "contact": {"email": email}, "address": {"countryCode": country}}


if __name__ == "__main__":
    serve(application(routes))
