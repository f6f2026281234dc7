"""Roles and configurations in few words, for tests of what an ambassador decides."""

from typing import Any

from choregos_ambassador.role import Role
from choregos_contract.configuration import VERSION, Configuration, Reaction
from choregos_contract.names import BusNames


def configuration(**fields: Any) -> Configuration:
    """What the service `package` in the namespace `shipping` is told."""
    told = {"version": VERSION, "generation": 1, "service": "package", "bus": BusNames(namespace="shipping")}
    return Configuration(**{**told, **fields})


def role(*, service: str = "package", **fields: Any) -> Role:
    """The role of `package` in `DeliveryRequested`; the fields are the reaction's."""
    reaction = Reaction(**{"event": "DeliveryRequested", "port": 8080, "path": "/packages", **fields})
    return Role(configuration(service=service, reactions=(reaction,)), reaction)
