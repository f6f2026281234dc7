"""What is to run: read, checked and put together before the first process starts."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from choregos_cli.documents import Examined, examine
from choregos_cli.errors import MisuseError, RefusedError
from choregos_cli.local_file import NAME, LocalService, load_local
from choregos_cli.pair import Part
from choregos_cli.ports import free_port, is_free
from choregos_contract.configuration import Configuration
from choregos_contract.configure import configurations, with_port
from choregos_contract.document import load
from choregos_contract.event_bus import EventBus
from choregos_contract.findings import Severity
from choregos_contract.graph import scopes
from choregos_contract.resources import DEFAULT_PORT, Choreography


@dataclass(frozen=True, slots=True)
class LocalPlan:
    """The choreographies of one bus, and how this machine runs each of their services."""

    choreographies: tuple[Choreography, ...]
    bus: EventBus | None
    services: Mapping[str, LocalService]
    configurations: Mapping[str, Configuration]

    def parts(self) -> list[Part]:
        """Return a part for every replica of every service, with free ports where none is given; raises MisuseError."""
        taken = {service.port + index for service in self.services.values() if service.port for index in _each(service)}
        return [
            _part(configuration, self.services.get(name, LocalService()), index, self._usual_port(name), taken)
            for name, configuration in self.configurations.items()
            for index in _each(self.services.get(name, LocalService()))
        ]

    def _usual_port(self, name: str) -> int:
        named = (each.spec.services[name].port for each in self.choreographies if name in each.spec.services)
        return next((port for port in named if port), DEFAULT_PORT)


def load_plan(files: Sequence[str]) -> LocalPlan:
    """Read choreographies, the buses among them, and the choregos.local.yaml beside each.

    Raises RefusedError for a choreography with an error in it, MisuseError for all else that cannot be used.
    """
    examined = examine(files)
    _refuse_errors(examined)
    found = scopes(examined.choreographies)
    if len(found) != 1:
        named = ", ".join(f"{namespace}/{bus}" for namespace, bus in found)
        what = f"one run has one bus, and these are {len(found)}: {named}" if found else "there is no choreography here"
        hint = "start the others by another `choregos up --nats URL`" if found else "name the file of one"
        raise MisuseError(what, hint)
    (scope, choreographies) = next(iter(found.items()))
    buses = [bus for name, text in examined.texts.items() for bus in load(text, name).buses]
    bus = next((each for each in buses if (each.metadata.namespace, each.metadata.name) == tuple(scope)), None)
    configured = configurations(choreographies, bus, generation=1)
    services: dict[str, LocalService] = {}
    for directory in dict.fromkeys(Path(name).parent for name in examined.texts):
        services |= load_local(directory / NAME, configured)
    return LocalPlan(choreographies, bus, services, configured)


def _refuse_errors(examined: Examined) -> None:
    errors = [found for found in examined.findings if found.severity is Severity.ERROR]
    if errors:
        first = errors[0]
        where = ":".join(str(part) for part in (first.file, first.line, first.column) if part is not None)
        more = f" (and {len(errors) - 1} more: see `choregos lint`)" if len(errors) > 1 else ""
        raise RefusedError(f"{where}: {first.message}{more}", first.hint)


def _each(service: LocalService) -> range:
    return range(service.replicas)


def _part(configuration: Configuration, local: LocalService, index: int, usual: int, taken: set[int]) -> Part:
    name = configuration.service
    environment = _environment(local)
    command = _command(name, local, environment)
    if local.port is not None:
        port = local.port + index
        if command and not is_free(port):
            raise MisuseError(f"port {port} of {name} is in use", f"free it, or change `port` in {NAME}")
    else:
        port = free_port(taken) if command else usual
    return Part(
        service=name,
        replica=index,
        port=port,
        configuration=with_port(configuration, port),
        command=command,
        environment=environment,
        directory=local.directory,
    )


def _environment(local: LocalService) -> dict[str, str]:
    """Return what a service sees beside PORT: ours, with our Python first on the PATH and unbuffered output."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    return {"PYTHONUNBUFFERED": "1", **os.environ, "PATH": path, **local.env}


def _command(name: str, local: LocalService, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the command with the path of its program, empty if there is none; raises MisuseError if there is no such program."""
    if not local.command:
        return ()
    program, *arguments = local.command
    within = local.directory / program
    found = shutil.which(str(within) if os.sep in program else program, path=environment["PATH"])
    if found is None:
        hint = f"name a program on the PATH, or one relative to {local.directory}"
        raise MisuseError(f"the command of {name} cannot be run: there is no program {program!r}", hint)
    return (found, *arguments)
