"""The cluster, by way of the user's own kubectl: it knows every kubeconfig, context and way to sign in.

What is read goes through `kubectl get --raw`: one request, one right, and no discovery. Every call has a time-out, and
every failure is one of the errors of `kubectl_complaints`.
"""

import asyncio
import json
import os
import shutil
from asyncio.subprocess import PIPE
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from choregos_cli.cluster.complaints import KubeconfigError, NotFound, away, complaint
from choregos_cli.cluster.kinds import Kind

PATIENCE: Final = 20.0
"""Seconds for one call; the API server itself is given a little less."""
PAGE: Final = 500
"""Objects that are asked for at once, as kubectl does it: the pods of a large cluster are more than one answer may take."""
_REQUEST: Final = 15
_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Right:
    """One thing that a user may do or not."""

    verb: str
    resource: str
    """Plural, such as `pods`, or `pods/portforward`."""
    group: str = ""
    namespace: str = ""
    """Empty for the whole cluster."""
    name: str = ""

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        one = f" {self.name}" if self.name else ""
        return f"{self.verb} {what}{one} " + (f"in the namespace {self.namespace}" if self.namespace else "everywhere")

    @classmethod
    def of(cls, verb: str, kind: Kind, namespace: str | None = None, name: str = "") -> "Right":
        """Name a right on a kind."""
        return cls(verb, kind.plural, kind.group, namespace or "", name)


class Tried(NamedTuple):
    """What the API server made of manifests that it was asked to try."""

    objects: tuple[Object, ...]
    """As they would be stored."""
    warnings: tuple[str, ...]


class _Ended(NamedTuple):
    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with the options that the user gave; every method raises CommandError."""

    binary: str
    options: tuple[str, ...] = ()
    """Passed through to every call: `--kubeconfig`, `--context`, `--as`."""

    @classmethod
    def find(cls, *, kubeconfig: str | None = None, context: str | None = None) -> "Kubectl":
        """Return the kubectl of the variable KUBECTL, else the one on PATH; raises KubeconfigError if there is none."""
        wanted = os.environ.get("KUBECTL") or "kubectl"
        binary = shutil.which(wanted)
        if binary is None:
            what = "there is no kubectl on PATH" if wanted == "kubectl" else f"KUBECTL is {wanted!r}, and is no program"
            raise KubeconfigError(what, "install kubectl, https://kubernetes.io/docs/tasks/tools, or set KUBECTL")
        given = {"--kubeconfig": kubeconfig, "--context": context}
        return cls(binary, tuple(f"{option}={value}" for option, value in given.items() if value))

    def acting_as(self, user: str, groups: Iterable[str] = ()) -> "Kubectl":
        """Return one that impersonates a user; the cluster may forbid that."""
        return replace(self, options=(*self.options, f"--as={user}", *(f"--as-group={group}" for group in groups)))

    async def namespace(self) -> str:
        """Return the namespace of the context, or of the pod that this runs in; `default` if none is named."""
        ended = await self._end(
            ["config", "view", "--minify", "--output=jsonpath={..namespace}"], "read the kubeconfig"
        )
        if ended.code == 0 and ended.stdout.strip():
            return ended.stdout.strip()
        return _ACCOUNT.read_text().strip() if ended.code and _ACCOUNT.is_file() else "default"

    async def version(self) -> str:
        """Return the API server's version, such as `v1.34.4`."""
        return str(json.loads(await self.run("get", "--raw=/version", asked="ask for the version"))["gitVersion"])

    async def all(self, kind: Kind, *, namespace: str | None = None, labels: str = "") -> tuple[Object, ...]:
        """Return all objects of a kind, of one namespace or of all; NotInstalledError if it is ours and unknown."""
        items: list[Object] = []
        following: str | None = ""
        while following is not None:
            path = kind.path(namespace=namespace, labelSelector=labels, limit=str(PAGE), **{"continue": following})
            found = await self._raw(kind, path)
            head = {"apiVersion": found["apiVersion"], "kind": kind.kind}
            items += (head | item for item in found.get("items") or ())
            following = found["metadata"].get("continue") or None
        return tuple(items)

    async def one(self, kind: Kind, name: str, *, namespace: str | None = None) -> Object | None:
        """Return an object, or None if there is none of that name; NotInstalledError if its kind is ours and unknown."""
        try:
            return dict(await self._raw(kind, kind.path(namespace=namespace, name=name)))
        except NotFound:
            return None

    async def may(self, rights: Sequence[Right]) -> Mapping[Right, bool]:
        """Return which of these rights this user has, by one call however many they are."""
        return await self._review(rights, "SelfSubjectAccessReview", {})

    async def may_other(self, user: str, groups: Sequence[str], rights: Sequence[Right]) -> Mapping[Right, bool]:
        """Return which of these rights somebody else has; takes the right to create subjectaccessreviews."""
        return await self._review(rights, "SubjectAccessReview", {"user": user, "groups": list(groups)})

    async def try_apply(self, manifests: bytes, *, namespace: str) -> Tried:
        """Have the API server try to apply manifests, webhooks included, and store nothing; KubernetesRefused."""
        return await self._try(["apply"], manifests, namespace)

    async def try_create(self, manifests: bytes, *, namespace: str) -> Tried:
        """The same for objects that must be new."""
        return await self._try(["create"], manifests, namespace)

    async def run(self, *arguments: str, asked: str, stdin: bytes = b"") -> str:
        """Run kubectl and return its output; `asked` says for what, as `list the pods`, in an error's sentence."""
        ended = await self._end(arguments, asked, stdin)
        if ended.code:
            raise complaint(ended.stderr, asked)
        return ended.stdout

    def command(self, *arguments: str) -> list[str]:
        """Return the whole command line."""
        return [self.binary, *self.options, *arguments]

    async def _raw(self, kind: Kind, path: str) -> Any:
        asked = f"read {kind}"
        answer = json.loads(await self.run("get", f"--raw={path}", asked=asked))
        if not isinstance(answer, dict):
            raise away(f"its answer to {path} is no object")
        return answer

    async def _try(self, verb: list[str], manifests: bytes, namespace: str) -> Tried:
        arguments = [*verb, "--dry-run=server", "--filename=-", "--output=json", f"--namespace={namespace}"]
        ended = await self._end(arguments, "try these manifests", manifests)
        if ended.code:
            raise complaint(ended.stderr, "try these manifests")
        warnings = [
            line.removeprefix("Warning: ") for line in ended.stderr.splitlines() if line.startswith("Warning: ")
        ]
        return Tried(tuple(_objects(ended.stdout)), tuple(warnings))

    async def _review(self, rights: Sequence[Right], kind: str, who: Mapping[str, Any]) -> Mapping[Right, bool]:
        if not rights:
            return {}
        items = [_review(right, kind, who) for right in rights]
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}).encode()
        asked = f"create {kind.lower()}s.authorization.k8s.io"
        answer = await self.run("create", "--filename=-", "--output=json", asked=asked, stdin=manifest)
        allowed = [bool((each.get("status") or {}).get("allowed")) for each in _objects(answer)]
        if len(allowed) != len(rights):
            raise away(f"it answered {len(allowed)} of {len(rights)} questions about rights")
        return dict(zip(rights, allowed, strict=True))

    async def _end(self, arguments: Sequence[str], asked: str, stdin: bytes = b"") -> _Ended:
        # In a session of its own Ctrl-C on the terminal reaches us alone, and we end it.
        command = self.command(f"--request-timeout={_REQUEST}s", *arguments)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
        try:
            async with asyncio.timeout(PATIENCE):
                stdout, stderr = await process.communicate(stdin)
        except TimeoutError:
            raise away(f"kubectl could not {asked} within {PATIENCE:.0f} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return _Ended(process.returncode or 0, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


def _review(right: Right, kind: str, who: Mapping[str, Any]) -> Object:
    resource, _, part = right.resource.partition("/")
    attributes = {"verb": right.verb, "group": right.group, "resource": resource, "namespace": right.namespace}
    attributes |= {"subresource": part} if part else {}
    attributes |= {"name": right.name} if right.name else {}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": kind,
        "spec": {**who, "resourceAttributes": attributes},
    }


def _objects(text: str) -> list[Object]:
    """Read what kubectl prints of several objects: a list, or one document behind the other."""
    found: list[Object] = []
    decoder, at = json.JSONDecoder(), 0
    while rest := text[at:].lstrip():
        value, length = decoder.raw_decode(rest)
        at = len(text) - len(rest) + length
        found += value["items"] if value.get("kind") == "List" else [value]
    return found
