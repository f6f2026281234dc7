"""The ConfigMaps part of a pass: every service's configuration, once its durables stand."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from choregos_contract.configuration import Configuration
from choregos_operator.configured import configmap_name
from choregos_operator.controller.api import Api, ApiError, Conflict, Forbidden, NotThere, Refused
from choregos_operator.controller.configmaps import (
    Target,
    TooLarge,
    configmap,
    is_ours,
    keeping,
    surplus,
    target,
    was_edited,
)
from choregos_operator.controller.observed import CONFIG_MAPS, Observed
from choregos_operator.controller.sight import Sight
from choregos_operator.controller.wiring import Outcome
from choregos_operator.kube import Body


@dataclass(frozen=True, slots=True)
class Configured:
    """What stands after a pass."""

    targets: Mapping[str, Target]
    """What the ambassadors of each service should work with."""
    unwritten: Mapping[str, str]
    """Why the ConfigMap of a service could not be written, with the mend."""
    edited: frozenset[str]
    """Services whose ConfigMap was put right after other hands."""
    undeleted: ApiError | None = None
    """Why a ConfigMap of no more use is still there."""


class Configuring:
    """Writes ConfigMaps, and deletes those of services that are gone."""

    def __init__(self, api: Api, observed: Observed) -> None:
        self._api = api
        self._observed = observed

    async def configure(self, seen: Sight, outcome: Outcome, now: datetime) -> Configured:
        """Write what is to change; without a bus that stands nothing changes. Raises Away, Conflict, NotThere."""
        stands = dict(seen.configmaps)
        unwritten: dict[str, str] = {}
        edited = set()
        undeleted = await self._remove_surplus(seen, outcome)
        for service, configuration in self._allowed(seen, outcome):
            try:
                written = await self._write(seen, configuration, outcome.loaded_by_service.get(service, 0), now)
            except (TooLarge, Forbidden, Refused) as error:
                unwritten[service] = str(error)
                continue
            if written is not None:
                if service in stands and was_edited(stands[service], written):
                    edited.add(service)
                stands[service] = written
        targets = {service: found for service, body in stands.items() if (found := target(body))}
        return Configured(targets, unwritten, frozenset(edited), undeleted)

    def _allowed(self, seen: Sight, outcome: Outcome) -> Iterator[tuple[str, Configuration]]:
        """Yield the configurations whose durables stand; a refused stream is all of them."""
        if outcome.state is None:
            return
        refused = {refusal.what for refusal in outcome.state.refusals}
        wanted = seen.wanted
        if any(str(stream) in refused for stream in wanted.streams):
            return
        waiting = {durable.owner for durable in wanted.durables if str(durable) in refused}
        blocked = {
            service for each in seen.choreographies if each.metadata.uid in waiting for service in each.spec.services
        }
        for service, configuration in seen.configurations.items():
            if service not in blocked:
                shared = service in seen.frozen_services
                yield service, keeping(configuration, seen.configmaps.get(service)) if shared else configuration

    async def _write(self, seen: Sight, configuration: Configuration, loaded: int, now: datetime) -> Body | None:
        name = configmap_name(configuration.service)
        existing = self._observed.configmap(seen.namespace, name)
        owners = seen.owners[configuration.service]
        manifest = configmap(configuration, owners, existing, now=now, loaded=loaded)
        if manifest is None:
            return None
        try:
            written = await self._api.write_configmap(seen.namespace, manifest)
        except NotThere:
            if existing is None:
                raise
            # Deleted under our hands. In a namespace that is being deleted this is refused, and ends the pass.
            written = await self._api.write_configmap(seen.namespace, _anew(manifest))
        except Conflict:
            # Without its label it is not among what is watched; but it may also just be on its way to us.
            existing = await self._api.get_configmap(seen.namespace, name)
            if not is_ours(existing):
                raise Refused(
                    f"there is a ConfigMap {name} that somebody else made; delete or rename it, for the operator keeps the"
                    f" configuration of {configuration.service} there"
                ) from None
            manifest = configmap(configuration, owners, existing, now=now, loaded=loaded)
            written = existing if manifest is None else await self._api.write_configmap(seen.namespace, manifest)
        self._observed.wrote(CONFIG_MAPS, written)
        return written

    async def _remove_surplus(self, seen: Sight, outcome: Outcome) -> ApiError | None:
        """Delete what nobody wants; while the bus is away, nothing of what would have to be made anew.

        Returns why something of it is still there.
        """
        undeleted: ApiError | None = None
        by_name = {body["metadata"]["name"]: body for body in seen.labelled_configmaps}
        here = [each for each in by_name.values() if outcome.state or not each.get("immutable")]
        for name in surplus(here, seen.declared, seen.frozen_services):
            try:
                await self._api.delete_configmap(seen.namespace, name, by_name[name]["metadata"]["uid"])
            except NotThere:
                continue
            except (Forbidden, Refused) as error:
                undeleted = error
        return undeleted


def _anew(manifest: Body) -> Body:
    """Return a ConfigMap as one to be created, with the number that it has reached."""
    of_the_old = ("resourceVersion", "uid", "creationTimestamp")
    return {**manifest, "metadata": {key: each for key, each in manifest["metadata"].items() if key not in of_the_old}}
