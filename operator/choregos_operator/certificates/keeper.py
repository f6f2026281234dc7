"""Keeping the webhook's certificate: read the Secret and the configurations, take the next step, come again."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from kubernetes.aio.client import ApiClient, ApiException
from prometheus_client import CollectorRegistry

from choregos_operator.certificates.issue import Terms
from choregos_operator.certificates.metrics import Metrics
from choregos_operator.certificates.objects import KINDS, Configuration, Objects, held_of
from choregos_operator.certificates.rotation import Publish, Wait, Write, next_step
from choregos_operator.kube import Away, message
from choregos_operator.log import log
from choregos_operator.settings import Settings
from choregos_operator.waiting import set_within

AT_ONCE: Final = 0.0
LOOK_AGAIN: Final = 20.0
"""Seconds after which a bundle or a Secret that somebody damaged is mended, at most."""
NOT_INSTALLED: Final = 5.0
"""Seconds between two looks for a webhook configuration that is not there yet."""
CONFLICT: Final = 0.2
"""Seconds after somebody else was faster."""
STEPS: Final = 20
"""Steps in a row after which there is a rest: three or four are usual, and two writers that fight would never end."""
BACKOFF: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds after the first, the second ... error in a row; the last for every further one."""


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class Keeper:
    """Keeps the certificate of one release's webhook, unless somebody else does."""

    def __init__(
        self,
        client: ApiClient,
        settings: Settings,
        registry: CollectorRegistry,
        *,
        terms: Terms | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._own = settings.own_certificates
        self._terms = terms or Terms.of(settings)
        self._objects = Objects(client, settings.namespace, settings.webhook_secret, settings.webhook_configuration)
        self._name = settings.webhook_configuration
        self._metrics = Metrics(registry)
        self._clock = clock
        self._told: str | None = None
        self._errors = 0
        self._steps = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the certificate until `stop`; errors of the API server are told and waited out."""
        while self._own and not stop.is_set():
            seconds = await self._attempt()
            await set_within(stop, max(seconds, 0.01))

    async def look(self) -> float:
        """Take one step, if one is due; returns the seconds until the next look.

        Raises Away, and ApiException for what the API server refuses; 409 if somebody else was faster.
        """
        # The Secret first: what was decided by an old one then fails at the newer version of whatever it leads to.
        now, body = self._clock(), await self._objects.secret()
        configurations = await self._objects.configurations()
        held = held_of(body, now)
        self._metrics.seen(held)
        bundles = [bundle for each in configurations for bundle in each.bundles.values()]
        match next_step(held, bundles, now, self._terms):
            case Write(after, why):
                await self._objects.write(body, after)
                log.info("webhook certificate", step=why)
                self._metrics.written(held, after)
                return AT_ONCE
            case Publish(bundle):
                await self._publish(configurations, bundle)
                return AT_ONCE
            case Wait(until):
                return self._rest(configurations, (until - now).total_seconds())

    async def _publish(self, configurations: list[Configuration], bundle: bytes) -> None:
        for each in configurations:
            if any(published != bundle for published in each.bundles.values()):
                await self._objects.publish(each, bundle)
                log.info("webhook certificate", step="the bundle is written", configuration=each.path)

    def _rest(self, configurations: list[Configuration], seconds: float) -> float:
        if len(configurations) < len(KINDS):
            self._tell(
                f"a webhook configuration {self._name!r} is not there (both kinds are looked for every "
                f"{NOT_INSTALLED:g} s); install the chart, or name yours in CHOREGOS_WEBHOOK_CONFIGURATION"
            )
            return min(NOT_INSTALLED, seconds)
        self._told = None
        return min(LOOK_AGAIN, seconds)

    async def _attempt(self) -> float:
        try:
            seconds = await self.look()
        except (Away, ApiException) as error:
            if isinstance(error, ApiException) and error.status == 409:
                return CONFLICT
            self._tell(_sentence(error))
            self._errors += 1
            return BACKOFF[min(self._errors, len(BACKOFF)) - 1]
        self._errors = 0
        self._steps = self._steps + 1 if seconds == AT_ONCE else 0
        if self._steps < STEPS:
            return seconds
        self._steps = 0
        self._tell(
            f"{STEPS} steps in a row, and there is no end: something else writes the Secret or the bundles; see its "
            "managedFields, or set CHOREGOS_OWN_CERTIFICATES=false if it is cert-manager"
        )
        return LOOK_AGAIN

    def _tell(self, reason: str) -> None:
        """Warn, once while it lasts."""
        if reason != self._told:
            log.warning("webhook certificate", reason=reason)
            self._told = reason


def _sentence(error: Away | ApiException) -> str:
    if isinstance(error, Away):
        return str(error)
    sentence = message(error)
    if error.status == 403:
        return f"{sentence}; bind the release's Role and ClusterRole to the operator's service account"
    if error.status == 404:
        return f"{sentence}; CHOREGOS_NAMESPACE must name the release's namespace"
    return f"the API server answers {error.status}: {sentence}"
