"""The CLI's two ways into a cluster: the user's kubectl on a real API server, and a bus by what the cluster says of it.

No kubelet runs here, so a Service leads nowhere: where a port is forwarded, a stand-in of kubectl does that one thing.
"""

import json
import stat
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from choregos_cli.cluster.bus import Given, JetStreamOff, cluster_bus
from choregos_cli.cluster.complaints import (
    ClusterUnreachable,
    ForbiddenError,
    KubeconfigError,
    KubernetesRefused,
    NotInstalledError,
)
from choregos_cli.cluster.kinds import CHOREOGRAPHIES, CONFIG_MAPS, PODS, SECRETS
from choregos_cli.cluster.kubectl import Kubectl, Right
from choregos_cli.cluster.port_forward import Forwards, forwarded
from choregos_cli.errors import CommandError, UnreachableError
from choregos_cli.ports import free_port
from support import binaries, crds
from support.certificates import Authority
from support.cluster import Cluster
from support.nats import NatsServer
from support.secret import Secret
from support.waiting import wait_for

STAND_IN = """#!{python}
import os, sys, time
if "port-forward" in sys.argv:
    open({record!r}, "w").write(f"{{{by}}} {{' '.join(sys.argv[1:])}}")
    print("Forwarding from 127.0.0.1:{port} -> 4222", flush=True)
    time.sleep(600)
os.execv({real!r}, [{real!r}, *sys.argv[1:]])
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep kubectl's cache out of the user's own."""
    monkeypatch.setenv("KUBECACHEDIR", str(tmp_path))


@pytest.fixture
def kubectl(cluster: Cluster) -> Kubectl:
    return Kubectl(str(binaries.find("kubectl")), (f"--kubeconfig={cluster.kubeconfig}",))


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with NatsServer() as running:
        yield running


# --- kubectl ---


async def test_it_reads_what_the_api_server_holds(cluster: Cluster, kubectl: Kubectl, namespace: str) -> None:
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "labels": {"a": "b"}}}
    cluster.apply(config_map, namespace=namespace)

    (found,) = await kubectl.all(CONFIG_MAPS, namespace=namespace, labels="a=b")

    assert (found["kind"], found["apiVersion"], found["metadata"]["name"]) == ("ConfigMap", "v1", "x")
    one = await kubectl.one(CONFIG_MAPS, "x", namespace=namespace)
    assert one is not None
    assert one["metadata"]["uid"] == found["metadata"]["uid"]
    assert await kubectl.one(CONFIG_MAPS, "y", namespace=namespace) is None
    assert (await kubectl.version()).startswith("v1.")
    assert await kubectl.namespace() == "default"


async def test_what_is_more_than_one_answer_should_hold_is_asked_for_in_pages(
    cluster: Cluster, kubectl: Kubectl, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"page-{number}" for number in range(5)]
    cluster.apply(
        *({"apiVersion": "v1", "kind": "ConfigMap", "metadata": _paged(each)} for each in names), namespace=namespace
    )
    calls: list[str] = []
    run = Kubectl.run

    async def heard(self: Kubectl, *arguments: str, asked: str, stdin: bytes = b"") -> str:
        calls.append(arguments[-1])
        return await run(self, *arguments, asked=asked, stdin=stdin)

    monkeypatch.setattr("choregos_cli.cluster.kubectl.PAGE", 2)
    monkeypatch.setattr(Kubectl, "run", heard)

    found = await kubectl.all(CONFIG_MAPS, namespace=namespace, labels="paged=yes")

    assert [each["metadata"]["name"] for each in found] == names
    assert len(calls) == 3


def _paged(name: str) -> dict[str, Any]:
    return {"name": name, "labels": {"paged": "yes"}}


async def test_all_questions_about_rights_are_one_call(cluster: Cluster, kubectl: Kubectl, namespace: str) -> None:
    here = Right.of("list", PODS, namespace)
    everywhere = Right.of("get", SECRETS)
    cluster.kubectl("create", "role", "reader", "--verb=list", "--resource=pods", "-n", namespace)
    cluster.kubectl("create", "rolebinding", "reader", "--role=reader", "--user=jane", "-n", namespace)
    jane = replace(kubectl, options=(f"--kubeconfig={cluster.user_kubeconfig('jane')}",))

    async def decided() -> bool:
        return (await jane.may([here]))[here]

    await wait_for(decided, "the role is in force")
    assert await jane.may([everywhere, here, everywhere]) == {everywhere: False, here: True}
    assert await kubectl.may_other("jane", [], [here, everywhere]) == {here: True, everywhere: False}
    with pytest.raises(ForbiddenError, match="the user jane may not create subjectaccessreviews"):
        await jane.may_other("joe", [], [here])


async def test_who_lacks_a_right_is_told_which(cluster: Cluster, kubectl: Kubectl, namespace: str) -> None:
    jane = replace(kubectl, options=(f"--kubeconfig={cluster.user_kubeconfig('jane2')}",))

    with pytest.raises(ForbiddenError) as told:
        await jane.all(PODS, namespace=namespace)

    assert told.value.what == f"the user jane2 may not list pods in the namespace {namespace}"
    assert "ask an administrator" in told.value.hint


async def test_a_dry_run_stores_nothing_and_tells_what_would_be_stored(kubectl: Kubectl, namespace: str) -> None:
    manifests = b"".join(
        b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%d"}}\n---\n' % n for n in range(2)
    )

    tried = await kubectl.try_apply(manifests, namespace=namespace)

    assert [each["metadata"]["name"] for each in tried.objects] == ["0", "1"]
    assert {each["metadata"]["name"] for each in await kubectl.all(CONFIG_MAPS, namespace=namespace)} <= {
        "kube-root-ca.crt"
    }
    with pytest.raises(KubernetesRefused, match="Invalid value"):
        await kubectl.try_create(manifests.replace(b'"0"', b'"A"'), namespace=namespace)


async def test_an_api_server_that_is_away_and_a_kubeconfig_that_is_none_are_told(tmp_path: Path) -> None:
    binary = str(binaries.find("kubectl"))

    with pytest.raises(ClusterUnreachable, match="does not answer"):
        await Kubectl(binary, ("--server=http://127.0.0.1:1",)).version()
    with pytest.raises(KubeconfigError, match="no such file"):
        await Kubectl(binary, (f"--kubeconfig={tmp_path / 'none'}",)).version()


def test_without_kubectl_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("KUBECTL", raising=False)
    with pytest.raises(KubeconfigError, match="there is no kubectl on PATH"):
        Kubectl.find()

    monkeypatch.setenv("KUBECTL", str(binaries.find("kubectl")))
    assert Kubectl.find(context="a", kubeconfig="b").options == ("--kubeconfig=b", "--context=a")


async def test_a_kubectl_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "pid"
    hanging = _script(tmp_path, f"import os, time\nopen({str(record)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)")
    monkeypatch.setattr("choregos_cli.cluster.kubectl.PATIENCE", 2.0)

    with pytest.raises(ClusterUnreachable, match="kubectl could not ask for the version within 2 s"):
        await Kubectl(str(hanging)).version()

    assert not _runs(record.read_text())


# --- a bus ---


async def test_where_choregos_is_not_installed_it_says_how_to_install_it(
    own_cluster: Cluster, kubectl: Kubectl
) -> None:
    crds.install(own_cluster)
    own_cluster.kubectl("delete", *(f"--filename={file}" for file in crds.FILES))
    try:
        with pytest.raises(NotInstalledError) as told:
            await kubectl.all(CHOREOGRAPHIES)
        assert "helm install choregos" in told.value.hint
    finally:
        crds.install(own_cluster)


@pytest.mark.usefixtures("crds")
async def test_a_port_is_forwarded_to_the_service_of_the_bus_and_the_child_ends_with_us(
    cluster: Cluster, kubectl: Kubectl, namespace: str, server: NatsServer, tmp_path: Path
) -> None:
    cluster.apply(_service(), _bus("nats://nats:4222"), namespace=namespace)
    record = tmp_path / "forward"
    standing_in = replace(kubectl, binary=str(_stand_in(tmp_path, record, server, kubectl)))

    async with cluster_bus(standing_in, namespace, "default", Given()) as bus:
        assert bus.where == "nats://nats:4222"
        answer = json.loads(await bus.ask("$JS.API.INFO"))
        assert "error" not in answer
        pid, _, command = record.read_text().partition(" ")
        assert _runs(pid)

    assert not _runs(pid)
    assert command.endswith(f"port-forward --address=127.0.0.1 --namespace={namespace} service/nats :4222")


@pytest.mark.usefixtures("crds")
async def test_buses_behind_one_service_share_the_kubectl_that_forwards_to_it(
    cluster: Cluster, kubectl: Kubectl, namespace: str, server: NatsServer, tmp_path: Path
) -> None:
    cluster.apply(_service(), _bus("nats://nats:4222"), namespace=namespace)
    record = tmp_path / "forward"
    standing_in = replace(kubectl, binary=str(_stand_in(tmp_path, record, server, kubectl)))
    forwards = Forwards(standing_in)
    pids = []

    async with AsyncExitStack() as both:
        for _ in range(2):
            opened = AsyncExitStack()
            await opened.enter_async_context(cluster_bus(standing_in, namespace, "default", Given(), forwards))
            both.push_async_exit(opened)
            pids.append(record.read_text().partition(" ")[0])
        await opened.aclose()
        assert pids[0] == pids[1]
        assert _runs(pids[0])
    assert not _runs(pids[0])

    async with cluster_bus(standing_in, namespace, "default", Given(), forwards) as bus:
        assert bus.client.is_connected
        assert record.read_text().partition(" ")[0] != pids[0]


@pytest.mark.usefixtures("crds")
async def test_a_port_is_forwarded_by_the_kubeconfig_of_the_directory_one_is_in(
    *,
    cluster: Cluster,
    kubectl: Kubectl,
    namespace: str,
    server: NatsServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster.apply(_service(), _bus("nats://nats:4222"), namespace=namespace)
    monkeypatch.chdir(cluster.kubeconfig.parent)
    binary = str(
        _stand_in(tmp_path, tmp_path / "forward", server, kubectl, by="os.path.realpath(sys.argv[1].split('=')[1])")
    )
    relative = Kubectl(binary, (f"--kubeconfig={cluster.kubeconfig.name}",))

    async with cluster_bus(relative, namespace, "default", Given()) as bus:
        assert bus.client.is_connected

    assert (tmp_path / "forward").read_text().partition(" ")[0] == str(cluster.kubeconfig.resolve())


@pytest.mark.usefixtures("crds")
async def test_what_nats_does_not_permit_is_told_as_that(kubectl: Kubectl, namespace: str) -> None:
    """It answers nothing to such a request, so that it would look like a server that is slow."""
    users = 'authorization { users: [{ user: jane, password: pw, permissions: { publish: ["a"] } }] }'
    with NatsServer(users) as server:
        given = Given(nats=server.url.replace("//", "//jane:pw@"))
        async with cluster_bus(kubectl, namespace, "default", given) as bus:
            with pytest.raises(UnreachableError, match=r"does not permit it: .*API\.INFO") as told:
                await bus.ask("$JS.API.INFO")
    assert "--nats-credentials" in told.value.hint


@pytest.mark.usefixtures("crds")
async def test_the_certificate_of_a_forwarded_server_is_checked_by_its_name_in_the_cluster(
    cluster: Cluster, kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    other = authority.issue("other", "DNS:nats.elsewhere.svc")
    pair = authority.issue("server", f"DNS:nats.{namespace}.svc")
    secret = {"username": "jane", "password": "pw", "ca.crt": authority.certificate.read_text()}
    cluster.apply(_service(), _bus(f"tls://nats.{namespace}.svc:4222"), _secret(secret), namespace=namespace)
    users = "authorization { users: [{ user: jane, password: pw }] }"

    for served, refused in ((other, "Hostname mismatch"), (pair, "")):
        tls = f"tls {{ cert_file: '{served.certificate}', key_file: '{served.key}' }}\n{users}"
        with NatsServer(tls) as server:
            standing_in = replace(kubectl, binary=str(_stand_in(tmp_path, tmp_path / "f", server, kubectl)))
            if refused:
                with pytest.raises(UnreachableError, match=refused):
                    async with cluster_bus(standing_in, namespace, "default", Given()):
                        pass
            else:
                async with cluster_bus(standing_in, namespace, "default", Given()) as bus:
                    assert bus.client._client_id


@pytest.mark.usefixtures("crds")
async def test_without_the_right_to_the_secret_the_refusal_of_nats_says_so(
    cluster: Cluster, kubectl: Kubectl, namespace: str
) -> None:
    cluster.kubectl("create", "role", "r", "--verb=get", "--resource=eventbuses.choregos.dev", "-n", namespace)
    cluster.kubectl("create", "rolebinding", "r", "--role=r", "--user=joe", "-n", namespace)
    joe = replace(kubectl, options=(f"--kubeconfig={cluster.user_kubeconfig('joe')}",))
    right = Right("get", "eventbuses", "choregos.dev", namespace)

    async def decided() -> bool:
        return (await joe.may([right]))[right]

    await wait_for(decided, "the role is in force")
    users = "authorization { users: [{ user: jane, password: pw }] }"
    with NatsServer(users) as server, pytest.raises(UnreachableError) as told:
        async with cluster_bus(joe, namespace, "default", Given(nats=server.url)):
            pass

    assert "Authorization Violation" in told.value.what
    assert told.value.hint.startswith("the user joe may not get secrets in the namespace")


@pytest.mark.usefixtures("crds")
async def test_the_users_own_credentials_go_to_no_server_that_an_event_bus_names(
    cluster: Cluster, kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    """Whoever may write an EventBus may name a server of his own."""
    own = Secret(tmp_path / "own", username="jane", password="pw")
    users = "authorization { users: [{ user: jane, password: pw }] }"
    with NatsServer(users) as server:
        cluster.apply(_bus(server.url), namespace=namespace)
        given = Given(credentials=Path(str(own)))

        with pytest.raises(UnreachableError, match="Authorization Violation"):
            async with cluster_bus(kubectl, namespace, "default", given):
                pass
        async with cluster_bus(kubectl, namespace, "default", replace(given, nats=server.url)) as bus:
            assert bus.client.is_connected


@pytest.mark.usefixtures("crds")
async def test_a_connection_never_follows_addresses_that_nats_tells(kubectl: Kubectl, namespace: str) -> None:
    """They are of the cluster's network."""
    port = free_port(set())
    first = f'cluster {{ name: c, listen: "127.0.0.1:{port}" }}'
    second = f'cluster {{ name: c, listen: "127.0.0.1:-1", routes: ["nats-route://127.0.0.1:{port}"] }}'
    advertised = "10.9.9.9:4222"
    with (
        NatsServer(first, jetstream=False) as server,
        NatsServer(f'{second}\nclient_advertise: "{advertised}"', jetstream=False),
    ):

        async def told() -> bool:
            async with cluster_bus(kubectl, namespace, "default", Given(nats=server.url)) as bus:
                assert bus.client.discovered_servers == []
                return advertised in bus.server_info.get("connect_urls", ())

        await wait_for(told, "the server tells of its neighbour")


@pytest.mark.usefixtures("crds")
async def test_a_server_without_jetstream_and_one_that_is_away_are_told_apart(kubectl: Kubectl, namespace: str) -> None:
    with NatsServer(jetstream=False) as server:
        async with cluster_bus(kubectl, namespace, "default", Given(nats=server.url)) as bus:
            with pytest.raises(JetStreamOff, match="JetStream does not answer"):
                await bus.ask("$JS.API.INFO")
        url = server.url
    with pytest.raises(UnreachableError, match="cannot connect to NATS at nats") as told:
        async with cluster_bus(kubectl, namespace, "default", Given(nats=url)):
            pass
    assert "--nats URL" in told.value.hint


@pytest.mark.usefixtures("crds")
async def test_a_service_that_leads_nowhere_is_told(cluster: Cluster, kubectl: Kubectl, namespace: str) -> None:
    cluster.apply(_service(), namespace=namespace)

    with pytest.raises(CommandError) as told:
        async with forwarded(kubectl, namespace, "nats", 4222):
            pass

    assert told.value.hint.endswith("or give --nats URL")


@pytest.mark.usefixtures("crds")
async def test_without_a_controller_it_is_said_where_the_servers_would_be_named(
    kubectl: Kubectl, namespace: str
) -> None:
    with pytest.raises(UnreachableError, match=f"there is no controller of Choregos in the namespace {namespace}"):
        async with cluster_bus(kubectl, namespace, "default", Given(release_namespace=namespace)):
            pass


def _runs(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()


def _stand_in(directory: Path, record: Path, server: NatsServer, kubectl: Kubectl, by: str = "os.getpid()") -> Path:
    port = server.url.rpartition(":")[2]
    text = STAND_IN.format(python=sys.executable, record=str(record), port=port, real=kubectl.binary, by=by)
    return _script(directory, text.partition("\n")[2])


def _script(directory: Path, body: str) -> Path:
    file = directory / "kubectl-stand-in"
    file.write_text(f"#!{sys.executable}\n{body}")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def _service() -> dict[str, Any]:
    spec = {"ports": [{"port": 4222}], "selector": {"app": "nats"}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "nats"}, "spec": spec}


def _bus(server: str) -> dict[str, Any]:
    head = {"apiVersion": "choregos.dev/v1alpha1", "kind": "EventBus", "metadata": {"name": "default"}}
    return {**head, "spec": {"servers": [server]}}


def _secret(data: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "choregos-bus-default"}, "stringData": data}
