"""Stock: reserves what was ordered, lets it go, and releases it when the payment is refused."""

from server import serve

reserved = {}


def stock(request):
    """Answer with plain JSON; the choreography says which event it becomes."""
    order = request.data
    if request.path == "/reservations":
        reserved[order["id"]] = set(order["items"])  # the same order again: the same reservation
    elif request.path == "/releases":
        reserved.pop(order["id"], None)  # released before, or never reserved: fine either way
    else:
        reserved.get(order["id"], set()).discard(order["item"])
    return 200, {}, order  # nothing becomes of it after /departures, which has no onSuccess


serve(stock)
