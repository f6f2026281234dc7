"""The options that all commands share which look into a cluster."""

from pathlib import Path
from typing import Annotated

import typer

from choregos_cli.cluster.bus import Given
from choregos_cli.cluster.kubectl import Kubectl
from choregos_cli.errors import MisuseError

Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", metavar="NS", help="Namespace; the context's if left out.", show_default=False),
]
AllNamespaces = Annotated[bool, typer.Option("--all-namespaces", "-A", help="Look into all namespaces.")]
Kubeconfig = Annotated[
    str | None, typer.Option("--kubeconfig", metavar="PATH", help="For kubectl, as it takes it.", show_default=False)
]
Context = Annotated[
    str | None, typer.Option("--context", metavar="NAME", help="For kubectl, as it takes it.", show_default=False)
]
Nats = Annotated[
    str | None,
    typer.Option(
        "--nats", metavar="URL", help="NATS servers, by commas; found in the cluster if left out.", show_default=False
    ),
]
NatsCredentials = Annotated[
    Path | None,
    typer.Option(
        "--nats-credentials",
        metavar="DIR",
        help="Files such as `nats.creds` or `ca.crt`; the bus's Secret if left out.",
        show_default=False,
    ),
]
ReleaseNamespace = Annotated[
    str | None,
    typer.Option(
        "--release-namespace", metavar="NS", help="Of the operator; searched for if left out.", show_default=False
    ),
]


def refuse_both(namespace: str | None, all_namespaces: bool) -> None:
    """Raise MisuseError if one namespace is asked for, and all of them."""
    if namespace and all_namespaces:
        raise MisuseError("--namespace and --all-namespaces contradict each other", "leave one of the two out")


def kubectl(kubeconfig: str | None, context: str | None) -> Kubectl:
    """Return the user's kubectl with these options; raises KubeconfigError."""
    return Kubectl.find(kubeconfig=kubeconfig, context=context)


def given(nats: str | None, credentials: Path | None, release_namespace: str | None) -> Given:
    """Return what the user said about the way to NATS."""
    return Given(nats, credentials, release_namespace)
