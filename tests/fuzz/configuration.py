"""Any document is a configuration or a ConfigurationError that says where; what is read is read again as it was."""

from collections.abc import Iterable

from choregos_contract.configuration import (
    Configuration,
    ConfigurationError,
    Delivery,
    Reaction,
    Readiness,
    dump,
    load,
)
from choregos_contract.names import BusNames


def seeds() -> Iterable[bytes]:
    reaction = Reaction(
        event="Ordered", port=8080, path="/orders", emits=("Paid",), on_success="Paid", delivery=Delivery()
    )
    bus = BusNames(namespace="shipping")
    yield dump(Configuration(version=1, generation=1, service="shop", bus=bus))
    yield dump(
        Configuration(
            version=1,
            generation=2,
            service="s",
            bus=bus,
            readiness=Readiness(port=1),
            emits=("A",),
            reactions=(reaction,),
        )
    )
    yield b'{"version": 2}'


def consume(data: bytes) -> None:
    try:
        configuration = load(data)
    except ConfigurationError:
        return
    assert load(dump(configuration)) == configuration
    assert configuration.source
