"""What the installation says about every ambassador."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InjectionSettings:
    """What a pod and its choreography leave open."""

    image: str
    """Image of the ambassador, unless the pod names another."""
    nats_url: str
    """URLs of the NATS servers of every bus that names none, separated by commas."""
    probes_host: str = "0.0.0.0"  # noqa: S104  as the ambassador's own default
    """Address that probes and metrics listen on: the kubelet comes from outside the pod."""

    @property
    def servers(self) -> tuple[str, ...]:
        """These servers."""
        return tuple(url.strip() for url in self.nats_url.split(",") if url.strip())
