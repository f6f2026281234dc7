"""A cluster of real nats-servers, each in a network of its own: nodes die, are cut off, and come back.

Whoever made it is inside of its network meanwhile, and so is every process and thread that he starts from there on: they
have a loopback of their own, and see the nodes, and nothing else of the machine.
"""

import random
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

from support import inside
from support.closing import Closing
from support.nats_node import CLIENTS, HUB, PEERS, NatsNode
from support.networks import Networks
from support.waiting import eventually

_PREFIX = "choregos-nats-cluster-"
_READY_WITHIN = 60.0
_DETAILS = "/jsz?accounts=true&streams=true&consumers=true"


class NatsCluster(Closing):
    """Starts at once. Every method waits for what it does, and may be run in a thread; only one thread enters and leaves."""

    def __init__(self, size: int = 3) -> None:
        self._networks = Networks(_PREFIX)
        self._visit = ExitStack()
        try:
            self._make_hub()
            self.nodes = [NatsNode(number, size, self._networks) for number in range(1, size + 1)]
            self._visit.enter_context(inside.visiting(self._networks.path(HUB)))
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """The URLs of all nodes, separated by commas."""
        return ",".join(node.url for node in self.nodes)

    @property
    def log(self) -> str:
        return "\n".join(f"{node.name}:\n{node.log}" for node in self.nodes)

    def start(self) -> None:
        """Start the nodes that do not run, and return once all are well."""
        for node in self.nodes:
            if not node.running:
                node.start()
        self.until_ready()

    def stop(self) -> None:
        """End all nodes as an administrator would, one after the other."""
        for node in self.nodes:
            node.stop()

    def kill(self) -> None:
        """End all nodes at once (SIGKILL)."""
        for node in self.nodes:
            node.kill()

    def rolling_restart(self) -> None:
        """Restart each node once the one before it is well again."""
        for node in self.nodes:
            node.stop()
            node.start()
            self.until_ready()

    def partition(self, node: NatsNode, *, from_clients: bool = True) -> None:
        """Cut a node off from its peers, and from the clients, or not; `heal` undoes it."""
        node.cut(PEERS, *([CLIENTS] if from_clients else []))

    def heal(self) -> None:
        """Undo every partition, and return once all nodes are well."""
        for node in self.nodes:
            node.heal()
        self.until_ready()

    def until_ready(self) -> None:
        """Wait until every node says that it has caught up with all that it holds."""
        eventually(self._is_ready, "every node of the NATS cluster is well", _READY_WITHIN)

    def meta_leader(self) -> NatsNode:
        """Return the node that leads the cluster as a whole, and so decides what is wired."""
        return self._led(lambda view: view.get("meta_cluster"))

    def leader_of(self, stream: str, consumer: str | None = None) -> NatsNode:
        """Return the node that leads a stream, or a consumer of it."""
        return self._led(lambda view: _cluster_of(view, stream, consumer))

    def follower_of(self, stream: str) -> NatsNode:
        """Return a node that does not lead a stream."""
        leader = self.leader_of(stream)
        return random.choice([node for node in self.nodes if node is not leader and node.reachable])

    def close(self) -> None:
        """Leave the network; end the nodes and remove what they stored."""
        self._visit.close()
        self._networks.close()

    def _make_hub(self) -> None:
        self._networks.add(HUB)
        for link in (CLIENTS, PEERS):
            self._networks.ip(HUB, f"link add name {link} type bridge", f"link set {link} up")
        self._networks.ip(HUB, f"address add 10.99.0.254/24 dev {CLIENTS}")

    def _is_ready(self) -> bool:
        running = [node for node in self.nodes if node.running]
        if not all(node.ask("/healthz") is not None for node in running):
            return False
        # The leader finds out last that a node is back; before that it places nothing there.
        groups = {node.name: (node.ask("/jsz") or {}).get("meta_cluster") or {} for node in running}
        peers: list[dict[str, Any]] = next(
            (each["replicas"] for name, each in groups.items() if each.get("leader") == name), []
        )
        present = [peer for peer in peers if peer["current"] and not peer.get("offline")]
        return len(present) == len(running) - 1

    def _led(self, led: Callable[[dict[str, Any]], dict[str, Any] | None]) -> NatsNode:
        """Wait until a node that takes part names a leader that takes part, and return that."""

        def leader() -> NatsNode | None:
            present = {node.name: node for node in self.nodes if node.reachable}
            views = (node.ask(_DETAILS) for node in present.values())
            groups = (led(view) or {} for view in views if view is not None)
            return next((present[group["leader"]] for group in groups if group.get("leader") in present), None)

        found = eventually(leader, "there is a leader", _READY_WITHIN)
        assert found
        return found


def _cluster_of(view: dict[str, Any], stream: str, consumer: str | None) -> dict[str, Any] | None:
    for account in view.get("account_details", ()):
        for each in account.get("stream_detail", ()):
            if each["name"] == stream:
                group = each if consumer is None else _named(each.get("consumer_detail") or (), consumer)
                return dict(group.get("cluster") or {})
    return None


def _named(consumers: Iterable[dict[str, Any]], name: str) -> dict[str, Any]:
    return next((each for each in consumers if each["name"] == name), {})
