"""Settings of both processes, the webhook and the controller, from their environment.

Each field is the environment variable of that name, in capitals and with `CHOREGOS_` in front. What a choreography or a
bus says is in its resource instead, and what one pod wants of its ambassador is in its annotations.
"""

import re
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from choregos_contract.resources import SERVER

PREFIX: Final = "CHOREGOS_"
SCHEMES: Final = ("nats", "tls", "ws", "wss")
"""Of a NATS server's URL; the models know the same."""

_NO_ADDRESS: Final = "has a port that is none, or a broken address"

Port = Annotated[int, Field(ge=0, le=65535)]
Days = Annotated[float, Field(gt=0)]


class SettingsError(ValueError):
    """An environment variable cannot be used; the message names it."""


class Settings(BaseSettings):
    """What both processes are told by whoever installs them."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, use_attribute_docstrings=True)

    namespace: str = "choregos-system"
    """Namespace of this release: of its Lease, its Secrets, its Services."""
    nats_url: str = "nats://nats.nats:4222"
    """URLs of the NATS servers of every bus that names none, separated by commas; without user and password."""
    nats_credentials: Path | None = None
    """Directory with the controller's credentials for these servers, one file each, as for the ambassador."""
    ambassador_image: str = "ghcr.io/choregos/ambassador:0.1.0"
    """Image of the ambassador that is injected; a pod's annotation can name another."""
    orphan_ttl_days: Days = 7.0
    """Days for which a durable is kept whose reaction is gone."""
    evict_uninjected: bool = False
    """Whether labelled pods without an ambassador are evicted, so that their owner makes them anew."""
    sweep_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Seconds between two looks at everything, for what changed without a notice: drift, figures, orphans."""
    webhook_host: str = "0.0.0.0"  # noqa: S104  the API server comes from outside the pod
    """Address that the webhook listens on."""
    webhook_port: Port = 9443
    """Port of the webhook; 0 for any free one."""
    probes_host: str = "0.0.0.0"  # noqa: S104  the kubelet and Prometheus come from outside the pod
    """Address that the probes and metrics of both processes, and of every ambassador, listen on."""
    probes_port: Port = 9481
    """Port of the probes and metrics of both processes; 0 for any free one."""
    webhook_certificates: Path = Path("/etc/choregos/webhook")
    """Directory with the webhook's `tls.crt` and `tls.key`, as a Secret is mounted; they may come later."""
    webhook_secret: str = "choregos-webhook"  # noqa: S105  a name
    """Secret of the release's namespace that holds the webhook's certificate."""
    webhook_service: str = "choregos-webhook"
    """Service of the release's namespace in front of the webhook: the certificate's name."""
    webhook_configuration: str = "choregos"
    """Name of the Mutating- and the ValidatingWebhookConfiguration that the certificate's authority is written to."""
    own_certificates: bool = True
    """Whether the controller makes and renews the webhook's certificate; false if cert-manager does."""
    lease: str = "choregos-controller"
    """Lease of the release's namespace that the working controller holds."""
    lease_seconds: Annotated[int, Field(ge=3)] = 30
    """Seconds after which a Lease that its holder did not renew is another controller's to take."""
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    """`debug`, `info`, `warning` or `error`."""

    @property
    def servers(self) -> tuple[str, ...]:
        """The NATS servers of every bus that names none."""
        return tuple(url.strip() for url in self.nats_url.split(",") if url.strip())


def read() -> Settings:
    """Read the settings from the environment; raises SettingsError."""
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + "_".join(map(str, first["loc"])).upper()
        raise SettingsError(f"{name} is {first['input']!r}: {first['msg']}") from None
    _refuse_passwords(settings)
    _refuse_no_servers(settings)
    _refuse_no_credentials(settings)
    return settings


def _refuse_passwords(settings: Settings) -> None:
    """Every labelled pod of the cluster gets these URLs; raises SettingsError without showing what stands in them."""
    if "@" in settings.nats_url:
        raise SettingsError(
            f"{PREFIX}NATS_URL holds a user, password or token, which every pod with an ambassador would be given; remove "
            f"what stands before the @. The operator's own credentials are files of the directory {PREFIX}NATS_CREDENTIALS"
            ", a pod's are keys of the Secret choregos-bus-<bus> in its namespace"
        )


def _refuse_no_servers(settings: Settings) -> None:
    """What no NATS client can make a connection of would be found out by every ambassador; raises SettingsError."""
    if not settings.servers:
        raise SettingsError(f"{PREFIX}NATS_URL is {settings.nats_url!r}; it takes URLs such as nats://nats.nats:4222")
    for url in settings.servers:
        if wrong := _fault_of(url):
            raise SettingsError(f"{PREFIX}NATS_URL: {url!r} {wrong}; it takes URLs such as nats://nats.nats:4222")


def _fault_of(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:  # a port beyond 65535, or no number; half a bracket of an IPv6 address
        return _NO_ADDRESS
    if not url.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
        return f"does not begin with {', '.join(f'{scheme}://' for scheme in SCHEMES[:-1])} or {SCHEMES[-1]}://"
    if not host:
        return "names no host"
    if port == 0:
        return _NO_ADDRESS
    return None if re.fullmatch(SERVER, url) else "holds more than a scheme, a host and a port"


def _refuse_no_credentials(settings: Settings) -> None:
    """Without the directory it would be taken for a controller that needs none; raises SettingsError."""
    directory = settings.nats_credentials
    if directory is not None and not directory.is_dir():
        raise SettingsError(
            f"{PREFIX}NATS_CREDENTIALS is {str(directory)!r}, which is no directory; mount the Secret with the "
            "controller's credentials there, or leave the variable out if the servers ask for none"
        )
