"""Settings of the process, from its environment. What a choreography says is in the configuration document instead."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

PREFIX = "CHOREGOS_"

AnyPort = Annotated[int, Meta(ge=0, le=65535)]
NonEmpty = Annotated[str, Meta(min_length=1)]


class SettingsError(ValueError):
    """An environment variable cannot be used; the message names it."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Each field is the environment variable of that name, in capitals and with `CHOREGOS_` in front."""

    config: NonEmpty
    """Path of the configuration document; it is watched, and may come later."""
    nats_url: str
    """URLs of the NATS servers, separated by commas."""
    nats_credentials: str | None = None
    """Directory with the credentials for NATS and the files for TLS, one file each; read anew for every connection."""
    nats_tls_handshake_first: bool = False
    """Whether the NATS servers expect the TLS handshake before their greeting."""
    nats_tls_server_name: NonEmpty | None = None
    """Name to expect in the NATS servers' certificate, where it is not the host in their URL."""
    pod: str | None = None
    """Name of the pod that it runs in; told on NATS' service API, so that the controller knows whose it is."""
    target_host: str = "127.0.0.1"
    """Host of the service."""
    publish_host: str = "127.0.0.1"
    """Address that the publish API listens on."""
    publish_port: AnyPort = 9480
    """Port of the publish API; 0 for any free one."""
    probes_host: str = "0.0.0.0"  # noqa: S104  the kubelet and Prometheus come from outside the pod
    """Address that the probes and metrics listen on."""
    probes_port: AnyPort = 9481
    """Port of the probes and metrics; 0 for any free one."""
    log_level: str = "info"
    """`debug`, `info`, `warning` or `error`."""
    log_events: bool = False
    """Whether to write a line for each hop that went well, too."""
    log_answers: bool = False
    """Whether to write the start of an error answer's body, which may hold what the event holds. Dead letters have it."""

    @property
    def servers(self) -> list[str]:
        """The NATS servers."""
        return [url.strip() for url in self.nats_url.split(",") if url.strip()]


def read(environment: Mapping[str, str]) -> Settings:
    """Read the settings; raises SettingsError. A variable of ours that is not known here is let pass."""
    names = {field.name for field in msgspec.structs.fields(Settings)}
    values = {
        name: environment[variable] for name in sorted(names) if (variable := PREFIX + name.upper()) in environment
    }
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(_sentence(str(error))) from None
    if not settings.servers:
        raise SettingsError(f"{PREFIX}NATS_URL is {settings.nats_url!r}; it takes URLs such as nats://nats:4222")
    if settings.log_level not in ("debug", "info", "warning", "error"):
        raise SettingsError(f"{PREFIX}LOG_LEVEL is {settings.log_level!r}; it takes debug, info, warning or error")
    return settings


def _sentence(error: str) -> str:
    """Name the variable: msgspec says "... - at `$.field`", or "... required field `field`"."""
    text, _, path = error.partition(" - at `$.")
    if path:
        return f"{PREFIX}{path.rstrip('`').upper()}: {text}"
    field = error.rpartition(" `")[2].rstrip("`")
    return f"{PREFIX}{field.upper()} is not set; the ambassador cannot start without it"
