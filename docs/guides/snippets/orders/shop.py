"""Shop: takes orders from its own clients and publishes them. It says 202 once the event is on the bus."""

import json
import os
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from server import serve

AMBASSADOR = urlsplit(os.environ["CHOREGOS_PUBLISH_URL"]).netloc
AGAIN = 503, {"Retry-After": "1"}, {"error": "not stored yet; send the order again"}


def order(request):
    """Publish OrderPlaced. The order's id is the key, so that a client may send the same order again."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": request.data["id"]}
    connection = HTTPConnection(AMBASSADOR, timeout=10)
    try:
        connection.request("POST", "/events/OrderPlaced", json.dumps(request.data), headers)
        answer = connection.getresponse()
        told = json.load(answer)
    except (OSError, HTTPException):
        return AGAIN  # stored or not, nobody knows: the same key makes the next try safe
    finally:
        connection.close()
    if answer.status in (408, 503):
        return AGAIN
    return (202 if answer.status == 201 else 500), {}, told  # 400, 403, 413, 415: ours to mend, not to repeat


serve(order)
