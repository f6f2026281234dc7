"""What an admission costs: at the webhook itself, and in the creation of a pod."""

import json
import random
import ssl
import uuid
from dataclasses import dataclass

import aiohttp
from operator_documents import Layout, pod, services
from operator_load import Load, load
from operator_stage import Stage
from stage import rss_mib

from choregos_operator.webhook.registration import INJECT_PATH


@dataclass(frozen=True)
class Webhook:
    """What the webhook costs."""

    admissions: Load
    """Posted to the webhook, as the API server does."""
    pods: Load
    """Pods made at the API server that the webhook is asked about."""
    bare_pods: Load
    """Pods made at the API server that it is not asked about."""
    rss_mib: float


async def measure(the: Stage, layout: Layout, *, admissions: int, pods: int, drawn: random.Random) -> Webhook:
    """Measure with the choreographies of a layout known."""
    posted = await _admissions(the, layout, admissions, drawn)
    await the.namespaces(["pods"])
    await _create(the, "warm-up", 100, None)
    # They take turns, so that a machine whose speed drifts slows both alike.
    bare, labelled = list[Load](), list[Load]()
    for turn in range(4):
        bare.append(await _create(the, f"bare-{turn}", pods // 4, None))
        labelled.append(await _create(the, f"labelled-{turn}", pods // 4, services(0)[1]))
    return Webhook(posted, _mean(labelled), _mean(bare), rss_mib(the.webhook.pid))


async def _admissions(the: Stage, layout: Layout, number: int, drawn: random.Random) -> Load:
    context = ssl.create_default_context(cadata=the.authority)
    context.check_hostname = False  # it is reached by its address here, not by the name of its Service
    bodies = [_review(*drawn.choice(layout.all), drawn) for _ in range(number)]
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def post(body: bytes) -> None:
            headers = {"Content-Type": "application/json"}
            async with session.post(the.webhook.url + INJECT_PATH, data=body, headers=headers) as answer:
                text = await answer.read()
                if answer.status != 200 or b'"patch"' not in text:
                    raise RuntimeError(f"no admission: {answer.status} {text.decode()}")

        await load(post, bodies[: number // 10])  # connections, and everything that is read once
        return await load(post, bodies)


def _review(namespace: str, number: int, drawn: random.Random) -> bytes:
    made = pod(namespace, f"app-{drawn.randrange(10**9)}", drawn.choice(services(number)))
    request = {
        "uid": str(uuid.UUID(int=drawn.getrandbits(128))),
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "operation": "CREATE",
        "namespace": namespace,
        "name": made["metadata"]["name"],
        "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
        "object": made,
        "oldObject": None,
    }
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


async def _create(the: Stage, prefix: str, number: int, service: str | None) -> Load:
    made = [pod("pods", f"{prefix}-{each}", service) for each in range(number)]
    return await load(lambda each: the.api.create("/api/v1/namespaces/pods/pods", each), made)


def _mean(loads: list[Load]) -> Load:
    count = len(loads)
    return Load(
        sum(each.p50 for each in loads) / count,
        sum(each.p99 for each in loads) / count,
        sum(each.per_second for each in loads) / count,
    )
