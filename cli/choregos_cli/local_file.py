"""`choregos.local.yaml`: how this machine runs each service of a choreography.

    services:
      package: {command: [python, package.py], port: 8081, env: {FAIL_RATE: "0.1"}, replicas: 2}

A command runs in the directory of the file. `python` and whatever else is installed beside it is the Python that runs
Choregos. A service gets `PORT` and `CHOREGOS_PUBLISH_URL` in its environment. With a `port`, further replicas take the
ports after it. A service without a command, or without an entry, is one that the user runs: its ambassador waits for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from choregos_cli.errors import MisuseError
from choregos_contract.findings import DocumentPath, closest, render_path
from choregos_contract.source import Document, NotYaml, read

NAME: Final = "choregos.local.yaml"
_EXAMPLE: Final = "write it as `services: {package: {command: [python, package.py]}}`"
_RESERVED: Final = {"PORT": "name it `port`, beside `env`", "CHOREGOS_PUBLISH_URL": "remove it, Choregos sets it"}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Entry(_Model):
    command: Annotated[list[str], Field(min_length=1)] | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    env: dict[str, str] = Field(default_factory=dict)
    replicas: Annotated[int, Field(ge=1, le=100)] = 1


class _LocalFile(_Model):
    services: dict[str, _Entry] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LocalService:
    """How one service runs on this machine."""

    command: tuple[str, ...] = ()
    """The program and its arguments, without a shell; empty if the user runs it."""
    port: int | None = None
    """Where the service listens; any free port if there is a command, else the choreography's."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables beside those of the run itself."""
    replicas: int = 1
    """Processes of the service, each with its own ambassador."""
    directory: Path = Path()
    """Where the command runs: the directory of the file."""


def load_local(file: Path, known: Iterable[str]) -> Mapping[str, LocalService]:
    """Return how each service runs, by name; a file that is not there names none.

    `known` are the services of the choreographies. Raises MisuseError with the file, the line, and a mend.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise MisuseError(f"cannot read {file}: {error}", "make it a text file in UTF-8 that you may read") from None
    try:
        documents = read(text)
    except NotYaml as error:
        found = error.finding
        raise MisuseError(f"{file}:{found.line}:{found.column}: {found.message}", found.hint) from None
    if len(documents) > 1:
        raise _error(file, documents[1], (), "a second document", "put all services in one")
    return _checked(file, documents[0], sorted(known)) if documents else {}


def _checked(file: Path, document: Document, known: Sequence[str]) -> Mapping[str, LocalService]:
    for found in document.findings:
        raise MisuseError(f"{file}:{found.line}:{found.column}: {found.message}", found.hint)
    try:
        services = _LocalFile.model_validate(document.value).services
    except ValidationError as invalid:
        path, what, hint = _explained(invalid)
        raise _error(file, document, path, what, hint) from None
    for name, service in services.items():
        path = ("services", name)
        if name not in known:
            meant = closest(name, known)
            hint = f'did you mean "{meant}"?' if meant else f"the services are: {', '.join(known)}"
            raise _error(file, document, path, f'the choreography has no service "{name}"', hint)
        if service.replicas > 1 and not service.command:
            what = "replicas without a command: nothing here starts them"
            raise _error(file, document, (*path, "replicas"), what, "add a command, or remove replicas")
        for variable in _RESERVED.keys() & service.env.keys():
            where = (*path, "env", variable)
            raise _error(file, document, where, f"{variable} is set by the run itself", _RESERVED[variable])
    directory = file.resolve().parent
    return {
        name: LocalService(tuple(entry.command or ()), entry.port, entry.env, entry.replicas, directory)
        for name, entry in services.items()
    }


def _explained(invalid: ValidationError) -> tuple[DocumentPath, str, str]:
    """Return path, fault and mend of the first thing that pydantic found."""
    error = invalid.errors(include_url=False)[0]
    path: DocumentPath = error["loc"]
    name = path[-1] if path else ""
    if error["type"] == "extra_forbidden":
        fields = (_LocalFile if len(path) == 1 else _Entry).model_fields
        meant = closest(str(name), fields)
        hint = f'did you mean "{meant}"?' if meant else f"the fields here are: {', '.join(sorted(fields))}"
        return path, f'there is no field "{name}" here', hint
    mends: dict[Any, str] = {
        "command": "write a list of words, such as [python, package.py]",
        "port": "write a number from 1 to 65535",
        "replicas": "write a number from 1 to 100",
        "env": 'write texts by name, such as {FAIL_RATE: "0.1"}',
    }
    mend = next((mends[part] for part in reversed(path) if part in mends), _EXAMPLE)
    return path, error["msg"][0].lower() + error["msg"][1:], mend


def _error(file: Path, document: Document, path: DocumentPath, what: str, hint: str) -> MisuseError:
    place = document.place(path)
    where = f" {render_path(path)}:" if path else ""
    return MisuseError(f"{file}:{place.line}:{place.column}:{where} {what}", hint)
