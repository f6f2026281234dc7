"""The webhook's certificate on a real API server, which calls a real HTTPS server and takes nothing on trust."""

import asyncio
import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.client import ApiException
from prometheus_client import CollectorRegistry

from choregos_operator.certificates import keeper as keeping
from choregos_operator.certificates.issue import Terms
from choregos_operator.certificates.keeper import NOT_INSTALLED, Keeper, utc_now
from choregos_operator.certificates.objects import KINDS, held_of
from choregos_operator.certificates.trust import certificates_in
from choregos_operator.kube import Away
from support.certificate_site import Site, release
from support.cluster import Cluster
from support.waiting import PATIENCE, wait_for

pytestmark = pytest.mark.usefixtures("own_cluster")


@pytest.fixture
def site(cluster: Cluster, namespace: str, tmp_path: Path) -> Site:
    return release(cluster, namespace, tmp_path)


@pytest.fixture
def installed(site: Site) -> Iterator[Site]:
    site.install()
    yield site
    site.uninstall()


async def age(site: Site) -> bytes:
    """Make a certificate and an authority that are 244 days old, so that both are due; returns the authority.

    By the clock of whoever made them; the certificate's life is a longer one, or it would be over.
    """
    terms = replace(Terms.of(site.settings), leaf_lifetime=timedelta(days=365))
    await site.keep(terms, behind=timedelta(days=244))
    assert site.settled()
    return site.authority()


async def test_pods_are_admitted_as_soon_as_there_is_a_certificate(installed: Site) -> None:
    refusal = await installed.admission()
    assert refusal
    assert "failed calling webhook" in refusal
    async with installed.webhook(), installed.kept():
        await wait_for(installed.settled, what="the certificate and the bundles")
        await wait_for(lambda: installed.served, what="the certificate is served")

        async with installed.pods():
            await wait_for(lambda: installed.admitted, what="a pod is admitted")


async def test_no_pod_is_refused_while_the_authority_is_replaced(installed: Site) -> None:
    old = await age(installed)
    async with installed.webhook():
        await wait_for(lambda: installed.served, what="the certificate is served")
        async with installed.pods():
            await installed.some_pods()
            async with installed.kept(installed.hasty):
                await wait_for(lambda: installed.authority() != old and installed.settled(), what="a new authority")
            await installed.some_pods()
    assert installed.refused == []
    assert len(installed.served) >= 3, "the old certificate, one under the same authority, one under the new"


async def test_no_pod_is_refused_while_two_controllers_replace_the_authority(installed: Site) -> None:
    old = await age(installed)
    async with installed.webhook():
        await wait_for(lambda: installed.served, what="the certificate is served")
        async with installed.pods():
            await installed.some_pods()
            async with installed.kept(installed.hasty, count=2):
                await wait_for(lambda: installed.authority() != old and installed.settled(), what="a new authority")
            await installed.some_pods()
    assert installed.refused == []


async def test_no_pod_is_refused_while_a_deleted_secret_is_made_anew(installed: Site) -> None:
    await installed.keep()
    old = installed.authority()
    async with installed.webhook():
        await wait_for(lambda: installed.served, what="the certificate is served")
        async with installed.pods():
            await installed.some_pods()
            installed.cluster.kubectl("delete", "secret", installed.settings.webhook_secret, "-n", installed.namespace)
            assert installed.secret() is None
            async with installed.kept(installed.hasty):
                await wait_for(lambda: installed.authority() != old and installed.settled(), what="a new authority")
            await installed.some_pods()
    assert installed.refused == []


async def test_a_certificate_that_expired_is_refused_and_made_anew(installed: Site) -> None:
    """The controller was away for too long: pods are refused with a sentence, until it is back."""
    await installed.keep(behind=timedelta(days=100))
    async with installed.webhook():
        await wait_for(lambda: installed.served, what="the certificate is served")
        refusal = await installed.admission()
        assert refusal
        assert "certificate has expired" in refusal
        await installed.keep()
        await wait_for(lambda: len(installed.served) == 2, what="the new certificate is served")
        assert await installed.admission() is None


async def test_a_configuration_that_is_made_anew_gets_its_bundle(installed: Site) -> None:
    await installed.keep()
    for kind in KINDS:
        installed.uninstall(kind)
        installed.install(kind)
        assert not installed.settled()
        await installed.keep()
        assert installed.settled()


async def test_a_bundle_is_written_without_touching_anything_else_of_the_configuration(installed: Site) -> None:
    name = installed.settings.webhook_configuration
    before = [installed.cluster.get(kind, name)["webhooks"] for kind in KINDS]
    await installed.keep()
    after = [installed.cluster.get(kind, name) for kind in KINDS]
    for each in [webhook for found in after for webhook in found["webhooks"]]:
        assert certificates_in(base64.b64decode(each["clientConfig"].pop("caBundle")))
    assert [each["webhooks"] for each in after] == before
    # Whoever applies the configuration again takes no field away that is not his.
    installed.install()
    assert installed.settled()


async def test_without_configurations_the_secret_is_made_and_they_are_looked_for(site: Site) -> None:
    await site.keep()
    assert site.authority()
    async with site.keeper() as keeper:
        assert await keeper.look() == NOT_INSTALLED
        site.install()
        try:
            assert await keeper.look() == keeping.AT_ONCE
            assert await keeper.look() == keeping.LOOK_AGAIN
            assert site.settled()
        finally:
            site.uninstall()


async def test_what_others_wrote_into_the_secret_stays(installed: Site) -> None:
    name, namespace = installed.settings.webhook_secret, installed.namespace
    installed.cluster.kubectl("create", "secret", "generic", name, "-n", namespace, "--from-literal=notes=ours")
    installed.cluster.kubectl("annotate", "secret", name, "-n", namespace, "team=platform")
    await installed.keep()
    secret = installed.secret()
    assert secret
    assert base64.b64decode(secret["data"]["notes"]) == b"ours"
    assert secret["metadata"]["annotations"]["team"] == "platform"
    assert installed.settled()


async def test_nothing_is_written_while_all_is_well(installed: Site) -> None:
    await installed.keep()
    kinds = [("secrets", installed.settings.webhook_secret, "-n", installed.namespace)]
    kinds += [(kind, installed.settings.webhook_configuration, "-n", installed.namespace) for kind in KINDS]
    before = [installed.cluster.get(*each)["metadata"]["resourceVersion"] for each in kinds]
    await installed.keep()
    assert [installed.cluster.get(*each)["metadata"]["resourceVersion"] for each in kinds] == before


async def test_with_cert_manager_nothing_is_read_or_written(installed: Site) -> None:
    settings = installed.settings.model_copy(update={"own_certificates": False})
    async with installed.client() as client, asyncio.timeout(PATIENCE):
        await Keeper(client, settings, CollectorRegistry()).run(asyncio.Event())
    assert installed.secret() is None
    assert set(installed.bundles()) == {b""}


async def test_somebody_who_was_faster_is_seen(installed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between reading and writing, another controller has done it all."""
    async with installed.keeper() as slow:
        read, others = slow._objects.configurations, [installed.keep]

        async def interrupted() -> Any:
            found = await read()
            while others:
                await others.pop()()
            return found

        monkeypatch.setattr(slow._objects, "configurations", interrupted)
        with pytest.raises(ApiException) as refused:
            await slow.look()
    assert refused.value.status == 409
    assert installed.settled()


async def test_an_api_server_that_was_away_is_waited_for(
    installed: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(keeping, "BACKOFF", (0.2,))
    async with installed.keeper() as keeper:
        installed.cluster.stop_api_server()
        try:
            with pytest.raises(Away):
                await keeper.look()
            running = asyncio.create_task(keeper.run(stop := asyncio.Event()))
            await wait_for(said(capsys, "does not answer"), what="it is told")
        finally:
            await asyncio.to_thread(installed.cluster.start_api_server)
        await wait_for(installed.settled, what="the certificate and the bundles")
        stop.set()
        await running


async def test_missing_rights_are_told_with_what_to_do(
    installed: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(keeping, "BACKOFF", (0.2,))
    name = f"keeper-{installed.namespace}"
    installed.cluster.kubectl("delete", "rolebinding", name, "-n", installed.namespace)
    async with installed.kept():
        await wait_for(said(capsys, "cannot get resource", "bind the release"), what="it is told")


async def test_steps_without_an_end_are_slowed_down_and_told(
    installed: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(keeping, "STEPS", 2)
    monkeypatch.setattr(keeping, "LOOK_AGAIN", 3.0)
    async with installed.kept():
        await wait_for(said(capsys, "there is no end", "cert-manager"), what="it is told")
        assert not installed.settled(), "the third step waits"
        await wait_for(installed.settled, what="the certificate and the bundles")


async def test_metrics_tell_when_the_certificate_runs_out_and_what_was_made(installed: Site) -> None:
    registry = CollectorRegistry()
    async with installed.client() as client:
        keeper = Keeper(client, installed.settings, registry)
        while await keeper.look() == keeping.AT_ONCE:
            pass
    held = held_of(installed.secret(), utc_now())
    assert held.current
    assert held.leaf
    for name, pair in (("authority", held.current), ("leaf", held.leaf)):
        expiry = registry.get_sample_value("choregos_webhook_secret_expiry_timestamp_seconds", {"certificate": name})
        issued = registry.get_sample_value("choregos_webhook_certificates_issued_total", {"certificate": name})
        assert expiry == pair.certificate.not_valid_after_utc.timestamp()
        assert issued == 1


def said(capsys: pytest.CaptureFixture[str], *words: str) -> Callable[[], bool]:
    """Whether a line of the log holds these words."""
    lines: list[str] = []

    def condition() -> bool:
        lines.extend(capsys.readouterr().out.splitlines())
        return any(all(word in line for word in words) for line in lines)

    return condition
