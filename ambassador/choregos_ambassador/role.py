"""The part that this ambassador plays for one event type: its configuration, and the one reaction in it."""

from dataclasses import dataclass

from choregos_contract.configuration import Configuration, Delivery, Reaction
from choregos_contract.ids import FAILURE, reply_id


@dataclass(frozen=True, slots=True)
class Role:
    """A reaction together with the configuration it stands in."""

    configuration: Configuration
    reaction: Reaction

    @property
    def service(self) -> str:
        """Name of the service."""
        return self.configuration.service

    @property
    def event(self) -> str:
        """Type of the events reacted to."""
        return self.reaction.event

    @property
    def delivery(self) -> Delivery:
        """Settings of the delivery."""
        return self.reaction.delivery

    def reply_id(self, source: str, event_id: str, index: int | str) -> str:
        """Return the id of the reply at an index to the event (source, id), whatever the service answers."""
        return reply_id(source, event_id, self.service, self.event, index)

    def failure_id(self, source: str, event_id: str) -> str:
        """Return the id of the failure event of the event (source, id)."""
        return self.reply_id(source, event_id, FAILURE)
