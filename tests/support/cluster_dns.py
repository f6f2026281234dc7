"""CoreDNS of the test node: a process on the node's address, which pods reach by the Service `kube-dns`."""

from pathlib import Path
from typing import Any

from support.kubelet import DOMAIN, NAMESERVER
from support.sandbox import ADDRESS

READY = "127.0.0.1:8181"

# Whatever is not of the cluster does not exist: there is nobody to ask.
_COREFILE = """
{domain}:53 in-addr.arpa:53 {{
    bind {address}
    errors
    ready {ready}
    cache 5
    kubernetes {domain} in-addr.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 5
    }}
}}
.:53 {{
    bind {address}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def corefile(kubeconfig: Path) -> str:
    """Return the configuration of CoreDNS."""
    return _COREFILE.format(domain=DOMAIN, address=ADDRESS, ready=READY, kubeconfig=kubeconfig)


def service() -> list[dict[str, Any]]:
    """Return the Service `kube-dns` and the address behind it."""
    metadata = {"name": "kube-dns", "namespace": "kube-system"}
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    labels = {"kubernetes.io/service-name": "kube-dns"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"clusterIP": NAMESERVER, "ports": ports},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": labels},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": True}}],
            "ports": ports,
        },
    ]
