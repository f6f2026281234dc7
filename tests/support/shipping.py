"""The drone delivery on a node: applied as a user does, with customers, and with the proof of what became of it."""

import json
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import uuid4

from choregos_cli.transactions import Transactions
from choregos_contract.configure import bus_names_of
from choregos_contract.document import load
from choregos_contract.resources import Choreography
from support import inside
from support.bus import TestBus, connected
from support.customers import Customers, customers
from support.node import Node
from support.settled import settled
from support.waiting import eventually

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "drone-delivery"
SERVICES: Final = ("ingestion", "package", "dronescheduler", "delivery")
AMBASSADOR: Final = "choregos-ambassador"
BUILT_IN_NATS: Final = ("choregos-system", "choregos-nats")
"""Namespace and name of the Service of NATS."""
ROLLING: Final = 240.0
"""Seconds that a rollout may take on a small machine: each pod drains before it ends."""

Manifest = dict[str, Any]
T = TypeVar("T")


class Shipping:
    """Four Deployments and a choreography, in the namespace that the example names."""

    namespace: Final = "shipping"

    def __init__(self, node: Node, nats: tuple[str, str] = BUILT_IN_NATS) -> None:
        self.node = node
        self.cluster = node.cluster
        self._nats = nats

    # As a user does

    def apply(self) -> None:
        """Apply the example's two files, and return when all of it is ready."""
        self.apply_choreography()
        self.kubectl("apply", "-f", EXAMPLE / "kubernetes.yaml")
        self.ready()

    def apply_choreography(self) -> None:
        """Apply the choreography alone."""
        self.kubectl("apply", "-f", EXAMPLE / "choreography.yaml")

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl(*arguments, "--namespace", self.namespace, stdin=stdin)

    def scale(self, service: str, replicas: int) -> None:
        """Scale a service, and return when it has that many pods that are ready, and no other."""
        self.kubectl("scale", "deployment", service, f"--replicas={replicas}")
        self.rolled(service)

    def restart(self, *services: str) -> None:
        """Replace every pod of services, one after the other of each, and return when that is done."""
        self.kubectl("rollout", "restart", *(f"deployment/{service}" for service in services))
        self.rolled(*services)

    # What is there

    def ready(self) -> None:
        """Wait until every pod is ready and the choreography says that it is."""
        self.rolled(*SERVICES)
        eventually(lambda: self.condition("Ready") == "True", "the choreography is ready", ROLLING)

    def rolled(self, *services: str) -> None:
        """Wait until the Deployments are as wanted, and pods that they no longer want are gone."""
        for service in services:
            eventually(lambda service=service: self._rolled(service), f"{service} is rolled out", ROLLING)  # type: ignore[misc]

    def condition(self, kind: str) -> str | None:
        """Return the status of a condition of the choreography, None before the operator has said it."""
        found = self.cluster.get("choreography", "drone-delivery", "-n", self.namespace)
        stated = {each["type"]: each for each in found.get("status", {}).get("conditions", [])}
        current = stated.get(kind, {}).get("observedGeneration") == found["metadata"]["generation"]
        return str(stated[kind]["status"]) if current else None

    def pods(self, service: str | None = None) -> list[Manifest]:
        """Return the pods of one service or all, those that are ending included."""
        label = f"choregos.dev/service={service}" if service else "choregos.dev/service"
        return list(self.cluster.get("pods", "-n", self.namespace, "-l", label)["items"])

    # Customers, and what became of their requests

    @contextmanager
    def customers(self) -> Iterator[Customers]:
        """Have customers request deliveries meanwhile."""
        address = self.cluster.get("service", "ingestion", "-n", self.namespace)["spec"]["clusterIP"]
        with customers(self.node.network, address) as asking:
            yield asking

    def settled(self, accepted: Collection[str]) -> Transactions:
        """Wait until all has come to its end; raises AssertionError if anything was lost, doubled, or is stuck."""
        return self.on_bus(lambda bus: settled(bus, self.choreography(), accepted))

    def positions(self) -> dict[str, str]:
        """Return when each reaction's durable was made, by its name: as long as that stays, so does its position."""

        async def made(bus: TestBus) -> dict[str, str]:
            services = self.choreography().spec.services.items()
            found = [await bus.durable(name, each.event) for name, service in services for each in service.reactions]
            return {str(durable["name"]): str(durable["created"]) for durable in found}

        return self.on_bus(made)

    def requests_from_outside(self, count: int) -> list[str]:
        """Store so many requests as a producer does who is no pod, and return their correlation ids."""
        names = [f"outside-{uuid4().hex[:12]}" for _ in range(count)]

        async def store(bus: TestBus) -> None:
            for name in names:
                data = json.dumps({"deliveryId": name, "weightKg": 2}).encode()
                await bus.publish("DeliveryRequested", data, name, correlationid=name)

        self.on_bus(store)
        return names

    def on_bus(self, work: Callable[[TestBus], Awaitable[T]]) -> T:
        """Do something on the bus, from inside of the node's network."""

        async def connect() -> T:
            async with connected(self.nats) as connection:
                return await work(TestBus(connection, bus_names_of([self.choreography()], None)))

        return inside.run(self.node.network, connect)

    def choreography(self) -> Choreography:
        """The choreography as the example has it."""
        file = EXAMPLE / "choreography.yaml"
        (only,) = load(file.read_text(), str(file)).choreographies
        return only

    @property
    def nats(self) -> str:
        """The URL of NATS, as a number, which needs no resolver."""
        namespace, name = self._nats
        service = self.cluster.get("service", name, "-n", namespace)
        return f"nats://{service['spec']['clusterIP']}:4222"

    def _rolled(self, service: str) -> bool:
        found = self.cluster.get("deployment", service, "-n", self.namespace)
        status, wanted = found.get("status", {}), found["spec"]["replicas"]
        counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
        seen = status.get("observedGeneration") == found["metadata"]["generation"]
        return seen and counts == [wanted] * 4 and len(self.pods(service)) == wanted
