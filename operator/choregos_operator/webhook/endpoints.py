"""The two paths that the API server posts to.

Every admission is answered. A defect of ours refuses, in a sentence, only what cannot do without us: an object of our own
group, or a pod that is labelled for an ambassador. What is neither passes untouched, whatever happens here.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from choregos_operator.injection import InjectionSettings
from choregos_operator.log import log
from choregos_operator.settings import Settings
from choregos_operator.store import Store
from choregos_operator.webhook import admission, injecting, validation
from choregos_operator.webhook.admission import Answer, Refusal, Request
from choregos_operator.webhook.metrics import Metrics
from choregos_operator.webhook.registration import INJECT_PATH, VALIDATE_PATH

LARGEST_REQUEST: Final = 8 << 20
"""Bytes. An object takes at most 3 MiB in a request to the API server, and a review of an update holds two."""
_DAY: Final = 86400.0


class Endpoints:
    """Answers admission reviews from what the Store knows."""

    def __init__(self, settings: Settings, store: Store, metrics: Metrics) -> None:
        self._store, self._metrics = store, metrics
        self._orphan_ttl = settings.orphan_ttl_days * _DAY
        self._injection = InjectionSettings(
            image=settings.ambassador_image, nats_url=settings.nats_url, probes_host=settings.probes_host
        )
        self.leaving = False
        """Whether connections are closed after their next answer, so that the API server goes to another replica."""

    def application(self) -> web.Application:
        """Build the routes."""
        application = web.Application(client_max_size=LARGEST_REQUEST)
        application.add_routes(
            [web.post(INJECT_PATH, self._on(self._inject)), web.post(VALIDATE_PATH, self._on(self._validate))]
        )
        return application

    def _inject(self, request: Request) -> Answer:
        if not injecting.labelled(request):
            return Answer()
        return injecting.answer(request, self._store, self._injection)

    def _validate(self, request: Request) -> Answer:
        return validation.answer(request, validation.validate(request, self._store, orphan_ttl=self._orphan_ttl))

    def _on(self, decide: Callable[[Request], Answer]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answered(posted: web.Request) -> web.Response:
            path = posted.path
            try:
                body = await posted.read()
                start = time.perf_counter()
                request = admission.read(body)
            except admission.MalformedError as error:
                self._metrics.requests.labels(path, "malformed").inc()
                log.warning("malformed", path=path, problem=str(error))
                return web.Response(status=400, text=f"{error}\n")
            answer, outcome = _decided(decide, request, path)
            response = web.Response(body=admission.write(request, answer), content_type="application/json")
            if self.leaving:
                response.force_close()
            self._metrics.requests.labels(path, outcome).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - start)
            return response

        return answered


def _decided(decide: Callable[[Request], Answer], request: Request, path: str) -> tuple[Answer, str]:
    """Return the answer, and in a word what it is; a line is logged for each refusal."""
    try:
        answer = decide(request)
    except Exception:  # noqa: BLE001  a broken connection would tell the user nothing, and the API server to try again
        log.exception("failed", **_about(request, path))
        sentence = "the webhook of Choregos has a defect that this object brings to light; its log shows where"
        return Answer(Refusal(sentence, code=500, reason="InternalError")), "failed"
    if answer.refusal:
        log.info("refused", **_about(request, path), why=answer.refusal.message)
        return answer, "refused"
    return answer, "injected" if answer.patch else "allowed"


def _about(request: Request, path: str) -> dict[str, str]:
    return {
        "path": path,
        "kind": request.kind.kind,
        "namespace": request.namespace,
        "name": request.label,
        "uid": request.uid,
    }
