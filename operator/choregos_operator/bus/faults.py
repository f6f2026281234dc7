"""Why a bus could not be brought about, for conditions and logs.

BusFault
+-- BusAway       NATS does not answer: it is tried again, nobody has to do anything but bring NATS back
+-- BusUnusable   NATS answers, and will not have us as we are: somebody has to mend something
"""

from typing import Final

from choregos_contract.wire import JetStreamError

_NOT_ENABLED: Final = frozenset({10039, 10076})
_UNAVAILABLE: Final = 503


class BusFault(Exception):  # noqa: N818  named by what it means for the caller
    """What is wrong, and the way out. `reason` is one word in CamelCase, as conditions have it."""

    def __init__(self, sentence: str, mend: str, reason: str) -> None:
        super().__init__(f"{sentence}; {mend}")
        self.sentence = sentence
        self.mend = mend
        self.reason = reason


class BusAway(BusFault):
    """NATS does not answer."""

    def __init__(self, sentence: str, mend: str = "it is tried again until NATS answers") -> None:
        super().__init__(sentence, mend, "BusAway")


class BusUnusable(BusFault):
    """NATS answers, and something there or here is to be mended. It is tried again all the same."""


def not_enabled(sentence: str) -> BusUnusable:
    """Say that there is no JetStream."""
    mend = "start the NATS servers with JetStream (`-js`), and enable it for the account"
    return BusUnusable(sentence, mend, "JetStreamNotEnabled")


def not_permitted(direction: str, subject: str) -> BusUnusable:
    """Say which permission is missing; `direction` is `publish` or `subscribe`."""
    mend = f"allow the operator's user to {direction} to {subject}"
    return BusUnusable(f"NATS does not permit to {direction} to {subject}", mend, "PermissionMissing")


def of_jetstream(error: JetStreamError) -> BusFault:
    """Return what JetStream's refusal of a request means."""
    if error.err_code in _NOT_ENABLED:
        return not_enabled(f"JetStream is not enabled for the account: {error.description}")
    if error.code == _UNAVAILABLE:
        return BusAway(f"JetStream is not available now: {error}")
    return BusUnusable(str(error), "look for the reason in the log of the NATS servers", "JetStreamRefused")
