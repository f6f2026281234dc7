"""Payment: charges a card once for each event, and tells in one event or the other how that went."""

import sqlite3

from server import serve

ledger = sqlite3.connect(":memory:", check_same_thread=False)  # a database that lasts, outside of an example
ledger.execute("CREATE TABLE charges (key TEXT PRIMARY KEY, receipt INTEGER)")


def pay(request):
    """React to StockReserved: PaymentTaken, PaymentRefused, or neither of them now."""
    order = request.data
    if "total" not in order:
        return 400, {"Choregos-Verdict": "reject"}, {"error": "an order without a total"}
    if order["card"] == "bank-away":
        return 503, {"Retry-After": "1"}, {"error": "the bank does not answer"}
    if order["card"] == "declined":
        return event("PaymentRefused", order)
    return event("PaymentTaken", {**order, "receipt": charge_once(request.headers["Idempotency-Key"])})


def charge_once(key):
    """Return the receipt of the charge for this event; only the first call makes one."""
    with ledger:
        ledger.execute("INSERT OR IGNORE INTO charges SELECT ?, count(*) + 1 FROM charges", [key])
    return ledger.execute("SELECT receipt FROM charges WHERE key = ?", [key]).fetchone()[0]


def event(kind, data):
    """Answer with one CloudEvent in binary mode: its attributes are headers, its data is the body."""
    attributes = {"ce-specversion": "1.0", "ce-id": data["id"], "ce-source": "/payment", "ce-type": kind}
    return 200, attributes, data


serve(pay)
