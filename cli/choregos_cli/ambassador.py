"""`choregos ambassador --service NAME --target URL`: an ambassador outside a cluster, in the foreground."""

import os
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace
from nats.aio.client import Client

from choregos_ambassador.settings import SettingsError, read
from choregos_cli import standalone
from choregos_cli.console import complaints
from choregos_cli.documents import examine
from choregos_cli.errors import ExitCode, MisuseError
from choregos_cli.joining import join
from choregos_cli.lint import show
from choregos_cli.one_bus import DEFAULT_FILE, OneBus, one_bus
from choregos_cli.standalone import Document, Prepare
from choregos_cli.target import Target, target
from choregos_cli.wired import until_wired
from choregos_contract.configuration import ConfigurationError, dump, load
from choregos_contract.configure import claims, with_port


def command(
    *,
    service: Annotated[
        str, typer.Option("--service", metavar="NAME", help="The service, as the choreography names it.")
    ],
    to: Annotated[
        str, typer.Option("--target", metavar="URL", help="Where it listens, such as http://127.0.0.1:8080.")
    ],
    files: Annotated[
        list[str] | None,
        typer.Option("--file", "-f", metavar="FILE", help="The choreography; may be repeated.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="PATH", help="The configuration that the operator wrote, instead."),
    ] = None,
    nats: Annotated[
        str, typer.Option("--nats", metavar="URL", envvar="CHOREGOS_NATS_URL", help="NATS servers, by commas.")
    ] = "nats://127.0.0.1:4222",
    publish_port: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, max=65535, envvar="CHOREGOS_PUBLISH_PORT", help="Of the publish API; 0: any free one."
        ),
    ] = 9480,
    probes_port: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, max=65535, envvar="CHOREGOS_PROBES_PORT", help="Of probes and metrics; 0: any free one."
        ),
    ] = 9481,
    wire: Annotated[bool, typer.Option("--wire/--no-wire", help="Make streams and durables that are missing.")] = False,
) -> int:
    """Run the ambassador of one service until Ctrl-C or SIGTERM, which let it finish what it has in hand.

    It is the one of the container image: the same ports, the same log (JSON lines on stdout), and every CHOREGOS_*
    variable that has no option here. It waits until the bus is wired, and says which durable is missing; --wire does it.
    """
    where = target(to, "--target")
    if config is not None:
        if files or wire:
            what = "--config stands for one service; it holds no choreography"
            raise MisuseError(what, "leave out --file and --wire, or --config")
        prepare = _of_document(config, service, where)
    else:
        examined = examine(files or [DEFAULT_FILE])
        if examined.findings:
            show(examined, complaints())
        if examined.errors:
            return ExitCode.REFUSED
        prepare = _of_files(one_bus(examined), service, where, wire=wire)
    given = {
        "CHOREGOS_CONFIG": str(config or "-"),
        "CHOREGOS_NATS_URL": nats,
        "CHOREGOS_TARGET_HOST": where.host,
        "CHOREGOS_PUBLISH_PORT": str(publish_port),
        "CHOREGOS_PROBES_PORT": str(probes_port),
    }
    try:
        settings = read({**os.environ, **given})
    except SettingsError as error:
        raise MisuseError(str(error), "mend the environment, or the option of that name") from error
    standalone.run(settings, prepare)
    return ExitCode.FINE


def _of_files(everything: OneBus, service: str, where: Target, *, wire: bool) -> Prepare:
    """Wire, or wait for, all that the choreographies need: an event of this service may be for any of them."""
    configuration = with_port(everything.configuration(service), where.port)
    choreographies, bus = everything.choreographies, everything.bus
    reactions = [(claim.service, claim.reaction.event) for claim in claims(choreographies)]

    async def prepare(client: Client) -> Document:
        if wire:
            await join(client, choreographies, bus)
        window = await until_wired(client, configuration.bus, reactions)
        written = dump(replace(configuration, duplicate_window=window))
        return lambda: written

    return prepare


def _of_document(path: Path, service: str, where: Target) -> Prepare:
    """Follow the operator's document, which may change; the service's port in it is that of a pod."""
    try:
        configuration = load(path.read_bytes())
    except OSError as error:
        raise MisuseError(f"cannot read {path}: {error.strerror}", "name a file that can be read") from error
    except ConfigurationError as error:
        raise MisuseError(f"{path} is no configuration: {error}", "give the one that the operator wrote") from error
    if configuration.service != service:
        what = f"{path} is the configuration of {configuration.service!r}, not of {service!r}"
        raise MisuseError(what, "name the other file, or the other service")
    reactions = [(service, reaction.event) for reaction in configuration.reactions]

    def document() -> bytes:
        try:
            content = path.read_bytes()
        except OSError:
            return b""
        try:
            return dump(with_port(load(content), where.port))
        except ConfigurationError:
            return content  # the ambassador refuses it, and says why

    async def prepare(client: Client) -> Document:
        await until_wired(client, configuration.bus, reactions)
        return document

    return prepare
