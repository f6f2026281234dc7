"""What kubectl says when it fails, read into errors that say who lacks what, and what to do. Pure.

CommandError
├── MisuseError
│   └── KubeconfigError          kubectl is absent, or has no cluster to talk to
├── RefusedError
│   └── KubernetesRefused        the API server understood, and does not accept
└── UnreachableError
    ├── ClusterUnreachable       the API server does not answer, or cannot now
    ├── ForbiddenError           this user lacks a right
    └── NotInstalledError        the cluster does not know our kinds
"""

import re
from typing import Final

from choregos_cli.errors import CommandError, MisuseError, RefusedError, UnreachableError

INSTALL: Final = (
    "install it: helm install choregos charts/choregos --namespace choregos-system --create-namespace"
    " --set nats.url=nats://HOST:4222, or --set nats.enabled=true to try things out"
)
_LOG_LINE: Final = re.compile(r"[EWIF][0-9]{4} ")
_FROM_SERVER: Final = re.compile(r'Error from server(?: \((\w+)\))?: (?:error when \w+ "[^"]*": )?(.*)', re.DOTALL)
_FORBIDDEN: Final = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) (?:resource "(?P<resource>[^"]*)"|path "(?P<path>[^"]*)")'
    r'(?: in API group "(?P<group>[^"]*)")?(?: in the namespace "(?P<namespace>[^"]*)")?'
)
_INVALID: Final = re.compile(r'The \w+ "[^"]*" is invalid')
_NO_TYPE: Final = ("could not find the requested resource", "no matches for kind", "doesn't have a resource type")
_AWAY: Final = (
    "connection to the server",
    "unable to connect to the server",
    "timeout",
    "timed out",
    "deadline exceeded",
    "connection refused",
    "unexpected eof",
    "no such host",
    "tls:",
    "x509:",
)
_AWAY_REASONS: Final = ("ServiceUnavailable", "Timeout", "ServerTimeout", "TooManyRequests", "InternalError")
_KUBECONFIG: Final = (
    "context was not found",
    "does not exist",
    "error in configuration",
    "error loading config",
    "no configuration has been provided",
    "stat ",
    "exec plugin",
    "getting credentials",
)


class KubeconfigError(MisuseError):
    """kubectl is absent, or has no cluster to talk to, or nobody to be there."""


class KubernetesRefused(RefusedError):  # noqa: N818  named by what it means for the caller
    """The API server understood, and does not accept; `what` is its own sentence."""

    def __init__(self, what: str, hint: str, reason: str = "") -> None:
        super().__init__(what, hint)
        self.reason = reason
        """Its word for why, such as `Invalid` or `AlreadyExists`; empty for an admission webhook's own refusal."""


class ClusterUnreachable(UnreachableError):  # noqa: N818
    """The API server does not answer, or cannot now."""


class ForbiddenError(UnreachableError):
    """This user lacks a right; the sentence says which."""


class NotInstalledError(UnreachableError):
    """The cluster does not know our kinds."""


class NotFound(RefusedError):  # noqa: N818
    """There is no object of that name."""


def complaint(stderr: str, asked: str) -> CommandError:
    """Return the error for what kubectl wrote on stderr; `asked` says what it was asked for."""
    lines = [line for line in stderr.splitlines() if line.strip() and not _LOG_LINE.match(line)]
    text = "\n".join(line for line in lines if not line.startswith("Warning:")).strip() or "kubectl gives no reason"
    if found := _FROM_SERVER.search(text):
        return _from_server(found[1] or "", found[2].strip(), asked)
    if _INVALID.match(text):
        return KubernetesRefused(_plain(text), "mend what it names", "Invalid")
    return _from_kubectl(text, asked)


def away(reason: str) -> ClusterUnreachable:
    """Return the error for an API server that does not answer."""
    hint = "check that the cluster is up and the context is the right one: `kubectl config current-context`"
    return ClusterUnreachable(f"the Kubernetes API does not answer: {reason}", hint)


def forbidden(user: str, right: str) -> ForbiddenError:
    """Return the error for a right that is missing, such as `list pods in the namespace shop`."""
    return ForbiddenError(f"{user} may not {right}", "ask an administrator for that right, or sign in as who has it")


def _from_kubectl(text: str, asked: str) -> CommandError:
    low = text.lower()
    if any(each in low for each in _NO_TYPE):
        return _no_type(text, asked)
    if "logged in" in low or "unauthorized" in low or "must provide credentials" in low:
        return _signed_out(text)
    if any(each in low for each in _AWAY):
        return away(_plain(text))
    if any(each in low for each in _KUBECONFIG):
        hint = "check --kubeconfig and --context, and the variable KUBECONFIG; `kubectl config get-contexts` lists them"
        return KubeconfigError(f"kubectl has no cluster to talk to: {_plain(text)}", hint)
    return KubernetesRefused(f"kubectl cannot {asked}: {_plain(text)}", "try the same with kubectl itself")


def _from_server(reason: str, text: str, asked: str) -> CommandError:
    if reason == "Forbidden" and (found := _FORBIDDEN.search(text)):
        return forbidden(f"the user {found['user'] or '(nobody)'}", _right(found))
    if reason == "Unauthorized" or "logged in" in text:
        return _signed_out(text)
    if any(each in text for each in _NO_TYPE):
        return _no_type(text, asked)
    if reason == "NotFound":
        return NotFound(text, "check the name, and the namespace with --namespace")
    if reason in _AWAY_REASONS and "admission webhook" not in text and "failed calling webhook" not in text:
        return away(_plain(text))
    return KubernetesRefused(_plain(text), "mend what it names, or ask who runs the cluster", reason)


def _right(found: re.Match[str]) -> str:
    if found["path"]:
        return f"{found['verb']} the path {found['path']}"
    what = f"{found['resource']}.{found['group']}" if found["group"] else found["resource"]
    where = f"in the namespace {found['namespace']}" if found["namespace"] else "in the whole cluster"
    return f"{found['verb']} {what} {where}"


def _no_type(text: str, asked: str) -> CommandError:
    if "choregos" in asked or "Choreography" in text or "EventBus" in text or "choregos" in text:
        return NotInstalledError("Choregos is not installed in this cluster: it does not know its kinds", INSTALL)
    return NotFound(f"the cluster cannot {asked}: {_plain(text)}", "choregos needs Kubernetes 1.29 or later")


def _signed_out(text: str) -> KubeconfigError:
    return KubeconfigError(f"the cluster does not know you: {_plain(text)}", "sign in again, or check --context")


def _plain(text: str) -> str:
    """Return the last line, which is the summary where there are several, without kubectl's own `error:`."""
    return text.strip().removeprefix("error: ").rstrip(".")
