"""An object that the API server has filled up with defaults means what the user wrote: no edit, no new configuration."""

from collections.abc import Callable

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from choregos_contract.event_bus import SMALLEST_INBOX
from choregos_contract.quantities import format_duration, format_size, parse_duration
from choregos_contract.resources import EVENT_NAME, LABEL, PATH, PREFIX, SERVER
from support import crds
from support.cluster import Cluster
from support.resource_manifests import Manifest, bus, orders, spec_of, stored_of

NOW = "2026-01-31T12:00:00Z"


@pytest.fixture(scope="module", autouse=True)
def definitions(cluster: Cluster) -> None:
    crds.install(cluster)


PLAIN = st.characters(min_codepoint=33, max_codepoint=126)
DURATIONS = st.integers(1, 10**12).map(lambda number: format_duration(number / 1000))
SIZES = st.integers(1, 2**53) | st.integers(1, 2**53).map(format_size)
NAMES = st.from_regex(EVENT_NAME, fullmatch=True, alphabet=PLAIN).filter(lambda name: len(name) <= 100)
LABELS = st.from_regex(LABEL, fullmatch=True, alphabet=PLAIN)
STATUSES = st.lists(st.integers(300, 599), max_size=4)
PORTS = st.integers(1, 65535)


@st.composite
def deliveries(draw: st.DrawFn) -> Manifest:
    found: Manifest = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "timeout": DURATIONS,
                "retry": st.integers(0, 100),
                "backoffDelay": DURATIONS,
                "backoffMax": DURATIONS,
                "concurrency": st.integers(1, 1000),
                "reject": STATUSES,
                "retryOn": STATUSES,
                "maxReplyBytes": SIZES,
            },
        )
    )
    reject, retry_on = found.pop("reject", None), found.pop("retryOn", None)
    if reject is not None:
        found["reject"] = reject
    if retry_on is not None:
        found["retryOn"] = [status for status in retry_on if status not in (reject or ())]
    return found


@st.composite
def reactions(draw: st.DrawFn, event: str, events: list[str]) -> Manifest:
    emits = draw(st.lists(st.sampled_from(events), max_size=4))
    one_of_them = {"onSuccess": st.sampled_from(emits), "onFailure": st.sampled_from(emits)} if emits else {}
    rest = st.fixed_dictionaries(
        {"event": st.just(event)},
        optional={
            "path": st.from_regex(PATH, fullmatch=True, alphabet=PLAIN),
            "port": PORTS,
            "required": st.booleans(),
            "startFrom": st.sampled_from(["created", "all", NOW]),
            "suspend": st.booleans(),
            "delivery": deliveries(),
            "idempotency": st.builds(lambda ttl: {"ttl": ttl}, DURATIONS),
            **one_of_them,
        },
    )
    found: Manifest = draw(rest)
    return found | {"emits": emits}


@st.composite
def choreographies(draw: st.DrawFn) -> Manifest:
    events = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    described = st.fixed_dictionaries(
        {},
        optional={
            "description": st.text(PLAIN, max_size=20),
            "outcome": st.sampled_from(["completed", "failed"]),
            "external": st.booleans(),
        },
    )
    services = {}
    for name in draw(st.lists(LABELS, max_size=3, unique=True)):
        heard = draw(st.lists(st.sampled_from(events), max_size=3, unique=True))
        services[name] = draw(st.fixed_dictionaries({}, optional={"port": PORTS})) | {
            "reactions": [draw(reactions(event, events)) for event in heard]
        }
    optional = st.fixed_dictionaries({}, optional={"bus": LABELS, "delivery": deliveries()})
    return orders() | {
        "spec": {"events": {name: draw(described) for name in events}, "services": services} | draw(optional)
    }


def buses() -> st.SearchStrategy[Manifest]:
    streams = st.fixed_dictionaries(
        {},
        optional={
            "prefix": st.from_regex(PREFIX, fullmatch=True, alphabet=PLAIN),
            "replicas": st.integers(1, 5),
            "storage": st.sampled_from(["file", "memory"]),
            "maxAge": DURATIONS.filter(lambda text: parse_duration(text) >= 600),
            "maxBytes": SIZES,
            "partitions": st.integers(1, 256),
            "shards": st.integers(1, 4096),
        },
    )
    servers = st.lists(st.from_regex(SERVER, fullmatch=True, alphabet=PLAIN), max_size=3)
    tls = st.fixed_dictionaries({}, optional={"enabled": st.booleans(), "handshakeFirst": st.booleans()})
    kept = st.fixed_dictionaries({}, optional={"maxAge": DURATIONS, "maxBytes": SIZES})
    inbox = st.fixed_dictionaries({}, optional={"maxBytes": st.integers(SMALLEST_INBOX, 2**53).map(format_size)})
    optional = {"servers": servers, "tls": tls, "stream": streams, "deadLetters": kept, "inbox": inbox}
    return st.fixed_dictionaries({}, optional=optional).map(lambda spec: bus() | {"spec": spec})


def samples(strategy: st.SearchStrategy[Manifest], count: int) -> list[Manifest]:
    """Draw examples beforehand: one run of kubectl for each would take minutes."""
    found: list[Manifest] = []

    @settings(max_examples=count, phases=[Phase.generate], derandomize=True, database=None, deadline=None)
    @given(strategy)
    def collect(manifest: Manifest) -> None:
        found.append(manifest)

    collect()
    return found


@pytest.mark.parametrize("kind", [choreographies, buses], ids=["Choreography", "EventBus"])
def test_what_is_read_back_with_its_defaults_means_what_was_written(
    cluster: Cluster, namespace: str, kind: Callable[[], st.SearchStrategy[Manifest]]
) -> None:
    manifests = samples(kind(), 100)
    for manifest, stored in zip(manifests, stored_of(cluster, manifests, namespace), strict=True):
        assert spec_of(stored) == spec_of(manifest)
