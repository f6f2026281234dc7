"""Creator: the target system. It takes a batch of customers whole, or refuses it whole and for good."""

from typing import Any

from aiohttp import web
from service import application, event_data, serve

COUNTRIES = ("DE", "FR", "GB", "NL")

routes = web.RouteTableDef()
customers: dict[str, dict[str, Any]] = {}  # by customer number
imports: dict[str, dict[str, Any]] = {}  # import id -> what was answered
written: dict[str, dict[str, tuple[Any, Any]]] = {}  # import id -> customer number -> as it is, as it was or None
reverted: set[str] = set()  # import ids


@routes.get("/customers")
async def show(_: web.Request) -> web.Response:
    """List every customer."""
    return web.json_response(customers)


@routes.post("/customers")
async def create(request: web.Request) -> web.Response:
    """React to FileAdapted; the answer becomes the data of RecordsCreated.

    Upserts alone would not do: repeated late, they would write over what a later file has brought. So an import is
    remembered together with its records (in a database: in one transaction), and done once.
    """
    data = await event_data(request, "file")
    import_id, batch = data["importId"], as_batch(data.get("customers"))
    if import_id in reverted:
        raise web.HTTPUnprocessableEntity(text="this import was reverted")
    if import_id not in imports:
        if refused := [number for number, each in batch.items() if each["address"]["countryCode"] not in COUNTRIES]:
            # 422: no retry can help, so the event becomes a dead letter at once, and the way back begins.
            sentence = f"no customers are kept in the country of {', '.join(refused[:10])}"
            raise web.HTTPUnprocessableEntity(text=f"{sentence}; it must be one of {', '.join(COUNTRIES)}")
        updated = len(batch.keys() & customers.keys())
        written[import_id] = {number: (new, customers.get(number)) for number, new in batch.items()}
        customers.update(batch)
        counts = {"created": len(batch) - updated, "updated": updated}
        imports[import_id] = {"importId": import_id, "file": data["file"], **counts}
    return web.json_response(imports[import_id])


@routes.post("/customers/reversals")
async def revert(request: web.Request) -> web.Response:
    """React to CreationFailed: an attempt may have had its effect, and only its answer never arrived."""
    import_id = (await event_data(request))["importId"]
    if import_id in imports:
        reverted.add(import_id)
    for number, (new, old) in written.pop(import_id, {}).items():
        if customers.get(number) is not new:  # a later file has written it since
            continue
        if old is None:
            del customers[number]
        else:
            customers[number] = old
    return web.Response(status=204)


def as_batch(found: Any) -> dict[str, dict[str, Any]]:
    """Return every customer by number; what is no batch is answered 422."""
    batch = {}
    for customer in found if isinstance(found, list) else [found]:
        match customer:
            case {"id": str(number), "address": {"countryCode": str()}}:
                batch[number] = customer
            case _:
                sentence = "customers must be a list, each with id and address.countryCode"
                raise web.HTTPUnprocessableEntity(text=sentence)
    return batch


if __name__ == "__main__":
    serve(application(routes))
