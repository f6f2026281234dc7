"""The connection to the API server, one request to it, and the listing of everything of a kind.

Objects come as plain mappings: the models of the client library cost more memory and time than the whole of our work.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, ApiException, Configuration
from kubernetes.aio.client.rest import RESTResponse
from kubernetes.aio.config import ConfigException

PAGE: Final = 200
"""Objects in one answer: what an answer takes in memory while it is read stays taken."""
PATIENCE: Final = 30.0
"""Seconds for one request."""
WRITER: Final = "choregos"
"""Who is named in `managedFields` as the writer of what we write: the API server takes it from the user agent."""
JSON: Final = "application/json"
UNWELL: Final = (429, 500, 502, 503, 504)
"""Answers by which the API server says that it cannot now."""

Body = Mapping[str, Any]


class Away(Exception):  # noqa: N818  named by what it means for the caller
    """The API server does not answer, or answers that it cannot now; come again."""


def without_managed_fields(body: Body) -> Body:
    """Return an object without the record of who wrote which field: nobody here reads it, and it is a third of a pod."""
    if "managedFields" not in body["metadata"]:
        return body
    metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    return {**body, "metadata": metadata}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object that the operator looks at."""

    group: str
    version: str
    plural: str
    kind: str
    labels: str | None = None
    """Selects by label, in the API's own syntax; None for all of them."""
    kept: Callable[[Body], Body] = without_managed_fields
    """Returns what is kept in memory of an object."""

    @property
    def path(self) -> str:
        """Where the API server lists it for all namespaces."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/{self.plural}"


@dataclass(frozen=True, slots=True)
class Listing:
    """Every object of a kind at one version of the API server's store."""

    version: int
    bodies: tuple[Body, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the API server."""

    status: int
    content: bytes
    response: RESTResponse


async def connect() -> ApiClient:
    """Return a client: by the file that KUBECONFIG names, else as the pod's service account.

    Raises kubernetes' ConfigException if there is neither, or the file cannot be used.
    """
    configuration = Configuration()
    if path := os.environ.get("KUBECONFIG"):
        await _load(_known(path), configuration)
    else:
        try:
            config.load_incluster_config(client_configuration=configuration)
        except ConfigException as error:
            raise ConfigException(f"{error}; run in a pod, or set KUBECONFIG") from None
    # No retries of the library's own: every caller comes again, and knows when.
    configuration.retries = None
    client = ApiClient(configuration)
    client.user_agent = f"{WRITER}/{version('choregos')}"
    return client


def _known(path: str) -> str:
    if not Path(path).is_file():
        raise ConfigException(f"KUBECONFIG names {path}, and there is no such file")
    return path


async def _load(path: str, configuration: Configuration) -> None:
    try:
        await config.load_kube_config(config_file=path, client_configuration=configuration)
    except Exception as error:  # the library raises what its parts raise
        raise ConfigException(f"KUBECONFIG names {path}, which cannot be used: {error}") from error


async def list_all(client: ApiClient, kind: Kind) -> Listing:
    """Return every object of a kind, in all namespaces; raises Away, ApiException (404: the kind is not installed)."""
    found: list[Body] = []
    query: dict[str, str] = {"limit": str(PAGE)}
    if kind.labels:
        query["labelSelector"] = kind.labels
    while True:
        answer = await call(client, "GET", kind.path, query=query)
        # The items of a list carry neither kind nor version.
        head = {"apiVersion": answer["apiVersion"], "kind": kind.kind}
        found += [kind.kept(head | item) for item in answer["items"]]
        if not (more := answer["metadata"].get("continue")):
            return Listing(int(answer["metadata"]["resourceVersion"]), tuple(found))
        query["continue"] = more


async def call(
    client: ApiClient,
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    body: Body | None = None,
    content_type: str = JSON,
) -> Any:
    """Make one request and return the answer; raises Away, or ApiException for what the API server refuses."""
    answer = await ask(client, method, path, query=query, body=body, content_type=content_type)
    if answer.status in UNWELL:
        raise Away(f"the API server answers {answer.status} to {method} {path}")
    if answer.status >= 300:
        refused = answer.content.decode(errors="replace")
        raise ApiException.from_response(http_resp=answer.response, body=refused, data=None)
    return orjson.loads(answer.content)


async def ask(
    client: ApiClient,
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    body: Any = None,
    content_type: str = JSON,
) -> Answer:
    """Make one request and return the answer, whatever it is; raises Away if there is none."""
    request = await client.param_serialize(
        method,
        path,
        query_params=list((query or {}).items()),
        header_params={"Accept": JSON, "Content-Type": content_type},
        body=body,
        auth_settings=["BearerToken"],
    )
    try:
        response = await client.call_api(*request, _request_timeout=PATIENCE)
        return Answer(response.status, await response.read(), response)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Away(f"the API server does not answer: {error or type(error).__name__}") from error


def message(error: ApiException) -> str:
    """Return the API server's own sentence of a refusal, and not what else it tells of the object."""
    try:
        return str(orjson.loads(error.body or "")["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "no reason given"
