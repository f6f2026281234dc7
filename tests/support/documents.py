"""A small choreography without a finding, for tests that change one thing in it."""

ORDERS = """\
apiVersion: choregos.dev/v1alpha1
kind: Choreography
metadata: {name: orders, namespace: shop}
spec:
  delivery:
    timeout: 5s
  events:
    OrderPlaced: {}
    PaymentTaken: {}
    OrderShipped: {outcome: completed}
  services:
    shop:
      port: 8080
      emits: [OrderPlaced]
    payment:
      port: 8080
      reactions:
        - event: OrderPlaced
          path: /payments
          emits: [PaymentTaken]
          onSuccess: PaymentTaken
    shipping:
      port: 8080
      reactions:
        - event: PaymentTaken
          path: /parcels
          emits: [OrderShipped]
          onSuccess: OrderShipped
"""

ANALYTICS = """\
apiVersion: choregos.dev/v1alpha1
kind: Choreography
metadata: {name: analytics, namespace: shop}
spec:
  events:
    OrderShipped: {external: true}
  services:
    analytics:
      reactions:
        - {event: OrderShipped, path: /facts}
"""

WARNING = ORDERS.replace("    PaymentTaken: {}\n", "    PaymentTaken: {}\n    Ping: {}\n").replace(
    "emits: [OrderPlaced]", "emits: [OrderPlaced, Ping]"
)
"""Nobody reacts to `Ping`, in line 10."""


def changed(before: str, after: str) -> str:
    """Return ORDERS with one piece of it, which has to be there, replaced wherever it stands."""
    assert before in ORDERS, before
    return ORDERS.replace(before, after)
