"""Shipping: answers with a batch: an event for each parcel, and one for the order."""

from server import serve


def pack(request):
    """React to InvoiceIssued with a ParcelPacked for each item, and OrderShipped."""
    order = request.data["id"]
    parcels = [event("ParcelPacked", f"{order}-{item}", {"id": order, "item": item}) for item in request.data["items"]]
    batch = [*parcels, event("OrderShipped", order, {"id": order, "parcels": len(parcels)})]
    return 200, {"Content-Type": "application/cloudevents-batch+json"}, batch


def event(kind, name, data):
    """Return one CloudEvent as JSON."""
    return {"specversion": "1.0", "id": name, "source": "/shipping", "type": kind, "data": data}


serve(pack)
