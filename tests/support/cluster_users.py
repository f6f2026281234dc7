"""Users of a cluster, as its own authority signs them in: certificates by the CertificateSigningRequest API."""

import base64
import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.cluster_certificates import private_key, request
from support.kubectl import Kubectl
from support.waiting import eventually


def sign_in(admin: Kubectl, key: Path, name: str, groups: Sequence[str]) -> dict[str, str]:
    """Return the credentials of a user, as they stand in a kubeconfig; the key is made, and kept in the file."""
    label = f"choregos-test-{uuid.uuid4().hex[:12]}"
    admin.run("create", "--filename=-", stdin=json.dumps(_manifest(label, request(private_key(key), name, groups))))
    try:
        admin.run("certificate", "approve", label)
        signed = eventually(lambda: _signed(admin, label), f"the certificate of {name} is signed")
    finally:
        admin.run("delete", "certificatesigningrequest", label, "--wait=false")
    return {"client-certificate-data": signed, "client-key-data": base64.b64encode(key.read_bytes()).decode()}


def _signed(admin: Kubectl, label: str) -> str:
    return admin.run("get", "certificatesigningrequest", label, "--output=jsonpath={.status.certificate}")


def _manifest(name: str, pem: bytes) -> dict[str, Any]:
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": base64.b64encode(pem).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
        },
    }
