"""The webhook's process over real HTTPS, without any API server: it answers whatever is there, and follows its Secret."""

import asyncio
import base64
import io
import json
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import test_utils
from cryptography import x509
from prometheus_client.parser import text_string_to_metric_families

from choregos_operator.settings import Settings
from choregos_operator.store import Store, Stored
from choregos_operator.webhook.endpoints import LARGEST_REQUEST, Endpoints
from choregos_operator.webhook.metrics import Metrics
from support.admission_reviews import UID, orders, review
from support.certificates import Authority, Pair
from support.labelled_pods import pod
from support.secret import Secret
from support.waiting import wait_for
from support.webhook_process import Webhook, nowhere, trusting

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE = 30


def files(pair: Pair) -> dict[str, str]:
    return {"tls.crt": pair.certificate.read_text(), "tls.key": pair.key.read_text()}


@dataclass(frozen=True)
class Release:
    """A webhook with its Secret, and the authority that signs for it."""

    webhook: Webhook
    secret: Secret
    authority: Authority

    @property
    def trust(self) -> ssl.SSLContext:
        return trusting(self.authority.certificate)


@asynccontextmanager
async def release(directory: Path) -> AsyncIterator[Release]:
    authority = Authority(directory)
    secret = Secret(directory / "secret", **files(authority.issue("first")))
    async with Webhook(nowhere(directory), str(secret)) as webhook:
        yield Release(webhook, secret, authority)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Release]:
    """For tests that only ask."""
    async with release(tmp_path_factory.mktemp("shared")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def own(tmp_path: Path) -> AsyncIterator[Release]:
    """For tests that swap its certificate, count or end it."""
    async with release(tmp_path) as running:
        yield running


async def post(url: str, body: bytes, trust: ssl.SSLContext) -> tuple[int, dict[str, Any]]:
    """One admission on a connection of its own, as the first of an API server."""
    async with aiohttp.ClientSession() as session, session.post(url, data=io.BytesIO(body), ssl=trust) as answer:
        text = await answer.text()
        return answer.status, json.loads(text)["response"] if answer.status == 200 else {"text": text}


async def served(webhook: Webhook, trust: ssl.SSLContext) -> x509.Certificate:
    """Return the certificate that a new connection gets."""
    _, writer = await asyncio.open_connection("127.0.0.1", webhook.port, ssl=trust)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with suppress(ssl.SSLError, ConnectionError):
        await writer.wait_closed()
    return x509.load_der_x509_certificate(found)


def name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()


async def test_pods_and_choreographies_are_answered_while_no_api_server_is_there(shared: Release) -> None:
    webhook = shared.webhook
    trust = shared.trust
    status, response = await post(f"{webhook.url}/inject", review(pod()), trust)
    assert (status, response["uid"], response["allowed"]) == (200, UID, True)
    operations = json.loads(base64.b64decode(response["patch"]))
    assert any("choregos-ambassador" in json.dumps(operation) for operation in operations)

    status, response = await post(f"{webhook.url}/validate", review(orders()), trust)
    assert (status, response) == (200, {"uid": UID, "allowed": True})
    status, response = await post(f"{webhook.url}/validate", review(orders(nonsense=1)), trust)
    assert (status, response["allowed"]) == (200, False)
    assert 'there is no field "nonsense"' in response["status"]["message"]


async def test_a_refusal_is_logged_in_a_line_without_the_object(shared: Release) -> None:
    webhook = shared.webhook
    body = pod(annotations={"choregos.dev/publish-port": "0", "secret": "do not tell"})
    await post(f"{webhook.url}/inject", review(body), shared.trust)
    line = await webhook.logged("refused", kind="Pod")
    assert (line["uid"], line["namespace"], line["name"], line["kind"]) == (UID, "shop", "shop-*", "Pod")
    assert "choregos.dev/publish-port" in line["why"]
    assert b"do not tell" not in webhook.output


@pytest.mark.parametrize("path", ["/inject", "/validate"])
async def test_what_is_no_review_gets_a_sentence_and_status_400(shared: Release, path: str) -> None:
    webhook = shared.webhook
    status, response = await post(webhook.url + path, b"{}", shared.trust)
    assert status == 400
    assert "this is no AdmissionReview" in response["text"]


async def test_a_body_beyond_any_object_is_not_read(shared: Release) -> None:
    webhook = shared.webhook
    trust = shared.trust
    status, _ = await post(f"{webhook.url}/validate", b" " * (LARGEST_REQUEST + 1), trust)
    assert status == 413
    large = orders()
    large["metadata"]["annotations"] = {"example.com/large": "x" * (3 << 20)}
    status, response = await post(f"{webhook.url}/validate", review(large, large), trust)
    assert (status, response["allowed"]) == (200, True)


async def test_old_protocols_are_refused(shared: Release) -> None:
    webhook = shared.webhook
    trust = shared.trust
    trust.minimum_version = ssl.TLSVersion.TLSv1_2
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    assert (await post(f"{webhook.url}/validate", review(orders()), trust))[0] == 200
    for end in ("minimum_version", "maximum_version"):
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            setattr(trust, end, ssl.TLSVersion.TLSv1_1)
    trust.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.raises(aiohttp.ClientConnectorError):
        await post(f"{webhook.url}/validate", review(orders()), trust)


async def test_it_is_alive_and_not_ready_before_it_knows_the_choreographies(shared: Release) -> None:
    webhook = shared.webhook
    assert await webhook.probe("/livez") == (200, "ok\n")
    status, reason = await webhook.probe("/readyz")
    assert status == 503
    assert "the choreographies are not read yet" in reason


async def test_metrics_count_what_came_of_requests_and_show_when_the_certificate_ends(own: Release) -> None:
    webhook = own.webhook
    trust = own.trust
    await post(f"{webhook.url}/inject", review(pod()), trust)
    await post(f"{webhook.url}/inject", b"", trust)
    await post(f"{webhook.url}/validate", review(orders()), trust)
    await post(f"{webhook.url}/validate", review(orders(nonsense=1)), trust)
    _, text = await webhook.probe("/metrics")
    samples = {
        (sample.name, sample.labels.get("path"), sample.labels.get("outcome")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    for path, outcome in (
        ("inject", "injected"),
        ("inject", "malformed"),
        ("validate", "allowed"),
        ("validate", "refused"),
    ):
        assert samples["choregos_webhook_requests_total", f"/{path}", outcome] == 1
    assert samples["choregos_webhook_request_seconds_count", "/validate", None] == 2
    expiry = (await served(webhook, trust)).not_valid_after_utc.timestamp()
    assert samples["choregos_webhook_certificate_expiry_timestamp_seconds", None, None] == expiry


async def test_it_waits_for_its_certificate_and_serves_as_soon_as_that_comes(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    webhook = Webhook(nowhere(tmp_path), tmp_path / "secret")
    webhook.ready = "probes"
    async with webhook:
        assert await webhook.probe("/livez") == (200, "ok\n")
        status, reason = await webhook.probe("/readyz")
        assert status == 503
        assert "tls.crt cannot be read: No such file or directory" in reason
        Secret(tmp_path / "secret", **files(authority.issue("late")))
        await webhook.logged("listening")
        status, response = await post(f"{webhook.url}/validate", review(orders()), trusting(authority.certificate))
        assert (status, response["allowed"]) == (200, True)


async def test_a_certificate_that_cannot_be_used_is_told_and_the_last_good_one_served(own: Release) -> None:
    webhook, secret, authority = own.webhook, own.secret, own.authority
    trust = own.trust
    first, second = await served(webhook, trust), authority.issue("second")
    secret.hold(files(authority.issue("third")) | {"tls.crt": second.certificate.read_text()})
    problem = (await webhook.logged("certificate", served=True))["problem"]
    assert "tls.key beside it cannot be used" in problem
    assert await served(webhook, trust) == first
    secret.hold({})
    await wait_for(lambda: b"cannot be read" in webhook.output, "the missing files are told")
    assert await served(webhook, trust) == first
    secret.hold(files(second))
    await until_served(webhook, trust, "CN=second")


async def until_served(webhook: Webhook, trust: ssl.SSLContext, subject: str) -> None:
    def swapped() -> bool:
        found = ssl.get_server_certificate(("127.0.0.1", webhook.port), timeout=PATIENCE)
        return name(x509.load_pem_x509_certificate(found.encode())) == subject

    await wait_for(swapped, f"{subject} is served", PATIENCE)
    assert name(await served(webhook, trust)) == subject


async def test_no_admission_is_refused_while_the_certificate_is_swapped(own: Release, tmp_path: Path) -> None:
    webhook, secret, authority = own.webhook, own.secret, own.authority
    successor = Authority(tmp_path, "successor")
    trust = trusting(authority.certificate, successor.certificate)
    async with load(webhook, trust) as answers:
        for number in range(3):
            issuer = (authority, successor)[number % 2]
            secret.hold(files(issuer.issue(f"leaf-{number}")))
            await until_served(webhook, trust, f"CN=leaf-{number}")
        await wait_for(lambda: len(answers) > 100, "a hundred answers")
    assert set(answers) == {(200, True)}


@asynccontextmanager
async def load(webhook: Webhook, trust: ssl.SSLContext) -> AsyncIterator[list[tuple[int, bool]]]:
    """Post admissions all the time, on connections that stay as well as on new ones; yields what came of them."""
    answers: list[tuple[int, bool]] = []
    stop = asyncio.Event()

    async def stay() -> None:
        async with aiohttp.ClientSession() as session:
            while not stop.is_set():
                async with session.post(f"{webhook.url}/inject", data=review(pod()), ssl=trust) as answer:
                    answers.append((answer.status, (await answer.json())["response"]["allowed"]))

    async def come_and_go() -> None:
        while not stop.is_set():
            status, response = await post(f"{webhook.url}/validate", review(orders()), trust)
            answers.append((status, response["allowed"]))

    async with asyncio.TaskGroup() as group:
        for worker in (stay, stay, come_and_go, come_and_go):
            group.create_task(worker())
        yield answers
        stop.set()


async def test_a_certificate_with_another_kind_of_key_takes_the_place_of_the_old_one(
    own: Release, tmp_path: Path
) -> None:
    """OpenSSL would keep both in one context, and go on serving the old one to whoever prefers it."""
    webhook, secret, authority = own.webhook, own.secret, own.authority
    pair = Pair(tmp_path / "rsa.crt", tmp_path / "rsa.key")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=rsa", "-days", "2"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(pair.key), "-out", str(pair.certificate)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    secret.hold(files(pair))
    await until_served(webhook, trusting(authority.certificate, pair.certificate), "CN=rsa")


async def test_at_its_end_it_is_unready_first_and_answers_on(own: Release) -> None:
    webhook = own.webhook
    trust = own.trust
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{webhook.url}/validate", data=review(orders()), ssl=trust) as answer:
            assert answer.headers.get("Connection") != "close"
        webhook.signal(signal.SIGTERM)
        await webhook.logged("stopping")
        assert await webhook.probe("/readyz") == (503, "this replica is going away\n")
        # The connection that is open, and a new one: both are answered, and told to go elsewhere.
        for url in (f"{webhook.url}/validate", f"{webhook.url}/validate?new"):
            async with session.post(url, data=review(orders()), ssl=trust) as answer:
                assert (await answer.json())["response"]["allowed"]
                assert answer.headers["Connection"] == "close"
    assert await webhook.ended() == 0


async def test_a_second_signal_ends_it_at_once(own: Release) -> None:
    webhook = own.webhook
    webhook.signal(signal.SIGTERM)
    await webhook.logged("stopping")
    webhook.signal(signal.SIGTERM)
    assert await webhook.ended() == 128 + signal.SIGTERM


async def test_a_port_that_is_taken_ends_the_process_with_a_sentence(shared: Release, tmp_path: Path) -> None:
    webhook, secret = shared.webhook, shared.secret
    other = Webhook(nowhere(tmp_path), str(secret), CHOREGOS_WEBHOOK_PORT=str(webhook.port))
    other.ready = "probes"
    async with other:
        assert await other.ended() == 1
    assert b"address already in use" in other.output


class BrokenStore(Store):
    """Stands for any defect of ours."""

    def of_namespace(self, namespace: str) -> tuple[Stored, ...]:
        raise ZeroDivisionError(namespace)


async def test_a_defect_refuses_only_what_cannot_do_without_us(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    endpoints = Endpoints(Settings(), BrokenStore(), Metrics())
    unlabelled = {**pod(), "metadata": {"name": "plain"}}
    async with test_utils.TestClient(test_utils.TestServer(endpoints.application())) as client:
        for path, body, allowed in (
            ("/inject", review(pod()), False),
            ("/inject", review(unlabelled), True),
            ("/validate", review(orders()), False),
        ):
            answer = await client.post(path, data=body)
            assert answer.status == 200
            response = (await answer.json())["response"]
            assert response["allowed"] is allowed
            assert allowed or (response["status"]["code"], "defect" in response["status"]["message"]) == (500, True)
