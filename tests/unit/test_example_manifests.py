"""The drone delivery's manifests for Kubernetes agree with its choreography, its image and the strictest pod security."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "drone-delivery"
CHOREOGRAPHY: dict[str, Any] = yaml.safe_load((EXAMPLE / "choreography.yaml").read_text())
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((EXAMPLE / "kubernetes.yaml").read_text()))
DEPLOYMENTS = {each["metadata"]["name"]: each for each in MANIFESTS if each["kind"] == "Deployment"}


def test_every_service_of_the_choreography_has_a_deployment_and_nothing_else_has_one() -> None:
    assert DEPLOYMENTS.keys() == CHOREOGRAPHY["spec"]["services"].keys()
    assert not [each for each in MANIFESTS if "namespace" in each["metadata"]]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_pods_join_their_service_and_listen_where_its_ambassador_calls(name: str) -> None:
    pod = DEPLOYMENTS[name]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert pod["metadata"]["labels"]["choregos.dev/service"] == name
    port = CHOREOGRAPHY["spec"]["services"][name]["port"]
    assert {"name": "PORT", "value": str(port)} in container["env"]
    assert container["ports"] == [{"name": "http", "containerPort": port}]
    assert container["command"] == ["python", f"{name}.py"]
    assert (EXAMPLE / f"{name}.py").exists()


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_pods_run_the_image_of_this_version_under_the_strictest_pod_security(name: str) -> None:
    pod = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert container["image"] == f"ghcr.io/choregos/example-drone-delivery:{version}"
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_image_has_the_version_of_aiohttp_that_the_tests_run() -> None:
    locked = {each["name"]: each["version"] for each in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    assert (EXAMPLE / "requirements.txt").read_text() == f"aiohttp=={locked['aiohttp']}\n"


def test_clients_reach_ingestion_and_no_other_service() -> None:
    (service,) = (each for each in MANIFESTS if each["kind"] == "Service")
    assert (
        service["spec"]["selector"].items()
        <= DEPLOYMENTS["ingestion"]["spec"]["template"]["metadata"]["labels"].items()
    )
    assert service["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": "http"}]
