"""The choreography of a round: an order in three hops.

    shop --OrderPlaced--> stock --StockReserved--> payment --PaymentTaken--> shop --OrderClosed (completed)
                            `----InvoiceDrawn----> shop      `--PaymentRefused (failed)--> stock, which compensates

`stock` answers with two events at once. `payment` refuses who is broke (422): that is a dead letter, and PaymentRefused
is emitted on its failure. `payment` has the inbox (`idempotency`).
"""

from dataclasses import dataclass
from typing import Any, Final

from choregos_contract.event_bus import EventBus
from choregos_contract.resources import Choreography

NAMESPACE: Final = "chaos"
ENTRY: Final = "OrderPlaced"
ENTRY_SERVICE: Final = "shop"
TIMEOUT: Final = 5.0
"""Seconds of one attempt."""
DUPLICATE_WINDOW: Final = 20.0
"""Seconds; the lease of a killed ambassador, 30 s, outlasts it."""


@dataclass(frozen=True)
class Role:
    """What the judge has to know of one reaction."""

    service: str
    event: str
    emits: tuple[str, ...] = ()
    on_failure: str | None = None
    idempotent: bool = False

    @property
    def name(self) -> str:
        """The reaction in ledgers and findings, such as `stock/OrderPlaced`."""
        return f"{self.service}/{self.event}"


_SERVICES: Final[dict[str, dict[str, Any]]] = {
    "shop": {
        "emits": ["OrderPlaced"],
        "reactions": [
            {"event": "PaymentTaken", "path": "/closures", "emits": ["OrderClosed"], "onSuccess": "OrderClosed"},
            {"event": "InvoiceDrawn", "path": "/invoices"},
        ],
    },
    "stock": {
        "reactions": [
            {"event": "OrderPlaced", "path": "/reservations", "emits": ["StockReserved", "InvoiceDrawn"]},
            {"event": "PaymentRefused", "path": "/releases", "compensates": "OrderPlaced"},
        ],
    },
    "payment": {
        "reactions": [
            {
                "event": "StockReserved",
                "path": "/payments",
                "emits": ["PaymentTaken", "PaymentRefused"],
                "onSuccess": "PaymentTaken",
                "onFailure": "PaymentRefused",
                "idempotency": {"ttl": "1h"},
            },
        ],
    },
}
_OUTCOMES: Final = {"OrderClosed": "completed", "PaymentRefused": "failed"}
_EVENTS: Final = ("OrderPlaced", "StockReserved", "InvoiceDrawn", "PaymentTaken", "PaymentRefused", "OrderClosed")

CHOREOGRAPHY: Final = Choreography.model_validate(
    {
        "apiVersion": "choregos.dev/v1alpha1",
        "kind": "Choreography",
        "metadata": {"name": "orders", "namespace": NAMESPACE},
        "spec": {
            "delivery": {"timeout": f"{TIMEOUT:g}s", "retry": 8, "backoffDelay": "250ms", "backoffMax": "5s"},
            "events": {name: {"outcome": _OUTCOMES[name]} if name in _OUTCOMES else {} for name in _EVENTS},
            "services": {name: {"readiness": "/ready", **service} for name, service in _SERVICES.items()},
        },
    }
)
OUTCOMES: Final = frozenset(_OUTCOMES)
SERVICES: Final = tuple(_SERVICES)
ROLES: Final = tuple(
    Role(name, reaction.event, reaction.emits, reaction.on_failure, reaction.idempotency is not None)
    for name, service in CHOREOGRAPHY.spec.services.items()
    for reaction in service.reactions
)
ROLE_OF_PATH: Final = {
    reaction.path: f"{name}/{reaction.event}"
    for name, service in CHOREOGRAPHY.spec.services.items()
    for reaction in service.reactions
}


def bus(replicas: int = 1) -> EventBus:
    """The bus of a round: on disk, with a duplicate window that a killed holder's lease outlasts."""
    stream = {"replicas": replicas, "storage": "file", "duplicateWindow": f"{DUPLICATE_WINDOW:g}s"}
    return EventBus.model_validate(
        {
            "apiVersion": "choregos.dev/v1alpha1",
            "kind": "EventBus",
            "metadata": {"name": "default", "namespace": NAMESPACE},
            "spec": {"stream": stream},
        }
    )
