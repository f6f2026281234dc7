"""The webhook: registered, trusted, and at work."""

import base64
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from choregos_cli.checks.catalogue import Level, Line
from choregos_cli.checks.certificate import Certificate, certificates
from choregos_cli.checks.facts import Facts, Trial
from choregos_cli.checks.lines import Fault, Unknown, counted, judged
from choregos_cli.checks.trials import ERROR
from choregos_cli.cluster.complaints import KubernetesRefused
from choregos_cli.cluster.kubectl import Object
from choregos_cli.cluster.pods import AMBASSADOR, container_of

SOON: Final = timedelta(days=29)
"""The controller renews with 30 days left, and is given a day for it."""
LATE: Final = SOON / timedelta(days=90)
"""Part of its life that a certificate of less than 90 days has left when it should have been renewed: cert-manager does so
with a third left."""
INJECTION: Final = "inject.choregos.dev"
VALIDATION: Final = "validate.choregos.dev"


def webhook(facts: Facts) -> Iterator[Line]:
    """Check the section."""
    bundle, chain = _bundle(facts.registrations), _chain(facts.certificate)
    leaf = chain if isinstance(chain, Unknown) else chain[0]
    yield from judged("webhook-registered", facts.registrations, _registered)
    yield from judged("webhook-authority", bundle, partial(_authority, now=facts.now))
    yield from judged("webhook-certificate", leaf, partial(_certificate, now=facts.now))
    both = bundle if isinstance(bundle, Unknown) else chain if isinstance(chain, Unknown) else (bundle, chain)
    yield from judged("webhook-trusted", both, _trusted)
    yield from judged("webhook-injects", _tried(facts.injected, (INJECTION,)), _injects)
    yield from judged("webhook-validates", _tried(facts.validated, (VALIDATION, ERROR)), _validates)


def _registered(found: Mapping[str, Object | None]) -> Iterable[Fault]:
    for kind, configuration in found.items():
        if configuration is None:
            yield Fault(f"there is no {kind} of Choregos")
        elif without := [each["name"] for each in _webhooks(configuration) if not _ca(each)]:
            yield Fault(f"{kind} {configuration['metadata']['name']}: {', '.join(without)} has no caBundle")


def _bundle(found: Mapping[str, Object | None] | Unknown) -> tuple[Certificate, ...] | Unknown:
    """Return the authorities of all webhooks."""
    if isinstance(found, Unknown):
        return found
    texts = [_ca(each) for configuration in found.values() for each in _webhooks(configuration)]
    if not any(texts):
        return Unknown("no caBundle is written")
    try:
        return tuple({each.subject: each for text in texts for each in certificates(base64.b64decode(text))}.values())
    except ValueError as error:
        return Unknown(f"caBundle holds {error}")


def _chain(pem: bytes | Unknown) -> tuple[Certificate, ...] | Unknown:
    """Return the webhook's certificate, and those that it sends along: an issuer's that is no authority itself."""
    if isinstance(pem, Unknown):
        return pem
    with suppress(ValueError):
        if found := certificates(pem):
            return found
    return Unknown("tls.crt of the webhook's Secret is no certificate", "delete the Secret: it is made anew")


def _authority(bundle: tuple[Certificate, ...], *, now: datetime) -> Iterable[Fault]:
    if not bundle:
        yield Fault("caBundle holds no certificate")
    elif all(each.not_after <= now for each in bundle):
        yield Fault("every authority in caBundle has expired: the API server cannot trust the webhook")


def _certificate(leaf: Certificate, *, now: datetime) -> Iterable[Fault]:
    left, life = leaf.not_after - now, leaf.not_after - leaf.not_before
    if left <= timedelta():
        yield Fault(f"the webhook's certificate expired at {leaf.not_after:%Y-%m-%d %H:%M} UTC")
    elif left < min(SOON, LATE * life):
        ends = counted(left.days, "day") if left.days else counted(int(left / timedelta(hours=1)), "hour")
        yield Fault(f"the webhook's certificate expires in {ends}, and was not renewed", "", Level.WARNING)


def _trusted(both: tuple[tuple[Certificate, ...], tuple[Certificate, ...]]) -> Iterable[Fault]:
    bundle, chain = both
    trusted, issuer = {each.subject for each in bundle}, chain[0].issuer
    for _ in chain:
        issuer = next((each.issuer for each in chain if issuer not in trusted and each.subject == issuer), issuer)
    if issuer not in trusted:
        yield Fault("the webhook's certificate was signed by none of the authorities in caBundle")


def _tried(trial: Trial | Unknown, marks: tuple[str, ...]) -> Trial | Unknown:
    """Tell a refusal that is not the webhook's from its own, which bears one of the marks: it says nothing about it."""
    if isinstance(trial, Unknown) or not isinstance(trial.outcome, KubernetesRefused):
        return trial
    said = trial.outcome.what
    if any(mark in said for mark in marks):
        return trial
    return Unknown(f"the API server refused the dry run before or beside the webhook: {said}")


def _injects(trial: Trial) -> Iterable[Fault]:
    if isinstance(trial.outcome, KubernetesRefused):
        yield Fault(f"a labelled pod cannot be created: {trial.outcome.what}")
    elif container_of(trial.outcome) is None:
        yield Fault(f"a labelled pod is created without the container {AMBASSADOR}")


def _validates(trial: Trial) -> Iterable[Fault]:
    if not isinstance(trial.outcome, KubernetesRefused):
        yield Fault("a choreography with an error is accepted")
    elif ERROR not in trial.outcome.what and "denied the request" not in trial.outcome.what:
        yield Fault(f"the webhook did not answer: {trial.outcome.what}")


def _webhooks(configuration: Object | None) -> list[Object]:
    return [] if configuration is None else list(configuration.get("webhooks") or ())


def _ca(webhook: Object) -> str:
    return str((webhook.get("clientConfig") or {}).get("caBundle") or "")
