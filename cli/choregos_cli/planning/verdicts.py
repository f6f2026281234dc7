"""What the API server says to the documents of a plan: it tries to apply each, webhooks included, and stores nothing."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from choregos_cli.cluster.kubectl import Kubectl, Object
from choregos_cli.errors import MisuseError, RefusedError
from choregos_contract.document import resource_of
from choregos_contract.findings import Finding
from choregos_contract.source import read


@dataclass(frozen=True, slots=True)
class Given:
    """One document of ours, as it stands in a file, with the namespace that it would be applied to."""

    document: Mapping[str, Any]
    namespace: str

    @property
    def identity(self) -> str:
        """`Kind/namespace/name`, as in findings."""
        return f"{self.document['kind']}/{self.namespace}/{self.document['metadata']['name']}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one document."""

    given: Given
    stored: Object | None = None
    """As it would be stored; None if it is refused."""
    refusal: str = ""
    warnings: tuple[str, ...] = ()


def given_in(texts: Mapping[str, str], *, namespace: str, forced: bool) -> tuple[Given, ...]:
    """Return the documents of ours in files without an error; `namespace` is that of those which name none.

    `forced`: it was asked for, so that another one in a document is a contradiction; raises MisuseError, as kubectl does.
    """
    found = tuple(_given(texts, namespace))
    for each in found:
        if forced and each.namespace != namespace:
            what = f"{each.identity} names another namespace than --namespace {namespace}"
            raise MisuseError(what, "leave one of the two out")
    return found


def _given(texts: Mapping[str, str], namespace: str) -> Iterator[Given]:
    for text in texts.values():
        for document in read(text):
            value = document.value
            if isinstance(value, dict) and not isinstance(resource_of(value), list):
                yield Given(value, value["metadata"].get("namespace") or namespace)


async def verdicts(kubectl: Kubectl, documents: Sequence[Given]) -> tuple[Verdict, ...]:
    """Return what the API server says to each document; raises CommandError if it does not answer."""
    room = asyncio.Semaphore(4)

    async def one(given: Given) -> Verdict:
        async with room:
            return await _verdict(kubectl, given)

    return tuple(await asyncio.gather(*map(one, documents)))


async def _verdict(kubectl: Kubectl, given: Given) -> Verdict:
    try:
        tried = await kubectl.try_apply(json.dumps(given.document).encode(), namespace=given.namespace)
    except RefusedError as error:
        return Verdict(given, refusal=error.what)
    return Verdict(given, tried.objects[0], warnings=tried.warnings)


def told(found: Finding) -> str:
    """Return a finding in the words of the webhook, by which one that lint has told already is known."""
    return f"{found.place}: {found.message}; {found.hint} [{found.code}]"
