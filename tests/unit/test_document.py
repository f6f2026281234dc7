"""One mistake in a file gives one finding: with its code, its line, and the mend.

In the tables below the mistake's line carries the comment `# here`.
"""

import re
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from choregos_contract.document import load, resource_of
from choregos_contract.event_bus import EventBus
from choregos_contract.findings import CATALOGUE, Severity, finding, render_path
from choregos_contract.resources import Choreography

HEAD = "apiVersion: choregos.dev/v1alpha1\nkind: Choreography\nmetadata: {name: shop}\n"
EVENTS = "  events: {OrderPlaced: {external: true}}\n"
BUS = "apiVersion: choregos.dev/v1alpha1\nkind: EventBus\nmetadata: {name: default}\n"


def spec(text: str) -> str:
    return f"{HEAD}spec:\n{EVENTS}{text}"


def reaction(text: str) -> str:
    return spec(f"  services:\n    shop:\n      reactions:\n        - event: OrderPlaced\n{text}")


MISTAKES = [
    # code, what the finding must say, the document
    ("yaml-syntax", "a second colon", f"{HEAD}spec: a: b # here\n"),
    ("yaml-syntax", "quote that is never closed", f"{HEAD}spec:\n  bus: 'default\n# here"),
    ("yaml-syntax", "opened in line 5", f"{HEAD}spec:\n  events: {{A: {{}}\n  services: {{}} # here\n"),
    ("yaml-syntax", "unlike its neighbours", f"{HEAD}spec:\n  events: {{}}\n services: {{}} # here\n"),
    ("yaml-syntax", "put the text in quotes", f"{HEAD}spec:\n  bus: @default # here\n"),
    ("yaml-syntax", "define the anchor", f"{HEAD}spec: *defaults # here\n"),
    ("yaml-syntax", "the tag !secret", f"{HEAD}spec: !secret x # here\n"),
    ("yaml-syntax", "the tag !spec", f"{HEAD}spec: !spec {{}} # here\n"),
    ("yaml-syntax", "render templates", f"{HEAD}spec: {{{{ .Values.spec }}}} # here\n"),
    ("yaml-syntax", "U+0001", f"{HEAD}# here \x01\n"),
    ("yaml-syntax", "merge a mapping", f"{HEAD}spec: {{<<: [1]}} # here\n"),
    ("tab-indentation", "indent with spaces", f"{HEAD}spec:\n\tevents: {{}} # here\n"),
    ("tab-indentation", "indent with spaces", spec("  bus: default\n\tservices: {} # here\n")),
    ("tab-indentation", "indent with spaces", spec("  services:\n    shop: {}\n  \tstore: {} # here\n")),
    ("duplicate-key", "the other is in line 5", spec("  events: {} # here\n  services: {}\n")),
    ("boolean-key", 'put it in quotes, "on", or rename it', reaction("          on: failure # here\n")),
    ("boolean-key", 'put it in quotes, "yes", or rename it', spec("  services:\n    yes: {} # here\n")),
    ("boolean-key", 'put it in quotes, "N", or rename it', f"{HEAD}spec: {{events: {{N: {{}}}}, services: {{}}}} # here\n"),
    ("empty-document", "write a Choreography", "# here: nothing but a comment\n"),
    ("duplicate-resource", "a second time", f"{BUS}---\n{BUS.replace('default}', 'default} # here')}"),
    ("too-large", "deeper than", f"{HEAD}spec: {'[' * 10000} # here\n"),
    ("too-large", "repeats itself", f"{HEAD}spec: &loop [*loop] # here\n"),
    ("too-large", "repeats itself", f"{HEAD}spec: &loop {{<<: *loop}} # here\n"),
    ("unknown-version", 'write "choregos.dev/v1alpha1"', "apiVersion: choregos.dev/v1 # here\nkind: Choreography\n"),
    ("unknown-kind", 'did you mean "Choreography"?', "apiVersion: choregos.dev/v1alpha1\nkind: Coreography # here\n"),
    ("unknown-kind", "write Choreography or EventBus", "apiVersion: choregos.dev/v1alpha1\nkind: [Pod] # here\n"),
    ("unknown-field", 'did you mean "services"?', spec("  servces: {} # here\n")),
    ("unknown-field", 'did you mean "onFailure"?', reaction("          on_failure: OrderLost # here\n")),
    ("unknown-field", 'put it under "delivery"', reaction("          timeout: 5s # here\n")),
    ("unknown-field", 'put it under "spec"', f"{HEAD}services: {{}} # here\nspec:\n{EVENTS}"),
    ("unknown-field", "use one of emits, port", spec("  services:\n    shop:\n      colour: red # here\n")),
    ("unknown-field", 'did you mean "kind"?', "apiVersion: choregos.dev/v1alpha1\nknid: Choreography # here\n"),
    ("unknown-field", 'put it under "stream"', f"{BUS}spec:\n  replicas: 3 # here\n"),
    ("not-in-v1alpha1", 'the field "namespace"', reaction("          namespace: other # here\n")),
    ("not-in-v1alpha1", 'the field "protocol"', spec("  services:\n    shop:\n      protocol: grpc # here\n")),
    ("not-in-v1alpha1", 'the field "when"', reaction("          when: data.total > 5 # here\n")),
    ("not-in-v1alpha1", "the kind Replay", "apiVersion: choregos.dev/v1alpha1\nkind: Replay # here\n"),
    ("missing-field", 'add "services"', f"{HEAD}spec: # here\n{EVENTS}"),
    ("missing-field", 'add "event"', spec("  services: {shop: {reactions: [{path: /}]}} # here\n")),
    ("missing-field", 'add "apiVersion"', "kind: Choreography # here\n"),
    ("wrong-type", "write [OrderPlaced]", reaction("          emits: OrderPlaced # here\n")),
    ("wrong-type", "an empty value is not a mapping", spec("  services:\n    shop: # here\n")),
    ("wrong-type", "YAML reads off as a boolean", reaction("          path: off # here\n")),
    ("wrong-type", 'put it in quotes, "1.50"', f"{HEAD}  \nspec: {{events: {{A: {{description: 1.50}}}}, services: {{}}}} # here\n"),
    ("wrong-type", '"true" is not true or false', reaction('          suspend: "true" # here\n')),
    ("wrong-type", "1.5 is not a whole number", spec("  services: {}\n  delivery: {retry: 1.5} # here\n")),
    ("wrong-type", "write these fields", "- apiVersion: choregos.dev/v1alpha1 # here\n"),
    ("invalid-value", "write at most 100", spec("  services: {}\n  delivery: {retry: 1000} # here\n")),
    ("invalid-value", "write at least 300", spec("  services: {}\n  delivery: {reject: [204]} # here\n")),
    ("invalid-value", "keep it in one of them", spec("  services: {}\n  delivery: {reject: [400], retryOn: [400]} # here\n")),
    ("invalid-value", 'did you mean "failed"?', f"{HEAD}spec:\n  events: {{A: {{outcome: fail}}}} # here\n  services: {{}}\n"),
    ("invalid-value", "this day or hour", reaction("          startFrom: 2026-02-30T00:00:00Z # here\n")),
    ("invalid-value", "write created, all, or a time", reaction("          startFrom: now # here\n")),
    ("invalid-value", "duplicateWindow is longer", f"{BUS}spec:\n  stream: {{maxAge: 1m}} # here\n"),
    ("invalid-value", "write 1Mi or more", f"{BUS}spec: {{inbox: {{maxBytes: 1000}}}} # here\n"),
    ("wrong-type", "write its fields below it", reaction("          idempotency: true # here\n")),
    ("invalid-value", "nats://nats.nats:4222", f"{BUS}spec: {{servers: [nats.nats]}} # here\n"),
    ("invalid-value", "into the Secret choregos-bus-<bus>", f"{BUS}spec: {{servers: ['nats://u:p@nats:4222']}} # here\n"),
    ("invalid-value", "write at most 1024 characters", f"{HEAD}spec:\n  events: {{A: {{description: {'x' * 1025}}}}} # here\n  services: {{}}\n"),
    ("invalid-value", "write at most 16", f"{BUS}spec:\n  servers: [{', '.join(['nats://a'] * 17)}] # here\n"),
    ("invalid-value", "is not a DNS label", BUS.replace("default}", "a.b} # here")),
    ("invalid-name", "is no name for an event", reaction("          emits: [order placed] # here\n")),
    ("invalid-name", "is no name for an event", f"{HEAD}spec:\n  events: {{1Placed: {{}}}} # here\n  services: {{}}\n"),
    ("invalid-name", "is not a DNS label", spec("  services:\n    Shop: {} # here\n")),
    ("invalid-name", "is not a DNS name", HEAD.replace("shop}", "Shop} # here") + f"spec:\n{EVENTS}  services: {{}}\n"),
    ("invalid-name", "write at most 16", f"{BUS}spec:\n  stream: {{prefix: a_b}} # here\n"),
    ("invalid-name", "write at most 100", f"{HEAD}spec:\n  events: {{A{'x' * 100}: {{}}}} # here\n  services: {{}}\n"),
    ("invalid-path", 'begin with "/"', reaction("          path: orders # here\n")),
    ("invalid-port", "write a number from 1 to 65535", spec("  services:\n    shop: {port: 70000} # here\n")),
    ("invalid-port", "without quotes", spec("  services:\n    shop: {port: http} # here\n")),
    ("invalid-duration", 'write "5s"', reaction("          delivery: {timeout: 5 s} # here\n")),
    ("invalid-duration", "add a unit", reaction("          delivery: {timeout: 5} # here\n")),
    ("invalid-duration", 'write at least "1ms"', spec("  services: {}\n  delivery: {timeout: 0s} # here\n")),
    ("invalid-size", 'write "1Mi"', spec("  services: {}\n  delivery: {maxReplyBytes: 1 Mi} # here\n")),
]  # fmt: skip


@pytest.mark.parametrize(("code", "words", "text"), MISTAKES)
def test_one_mistake_gives_one_finding_with_its_line(code: str, words: str, text: str) -> None:
    loaded = load(text, "shop.yaml")
    assert [found.code for found in loaded.findings] == [code]
    [found] = loaded.findings
    expected = 1 + next(number for number, line in enumerate(text.split("\n")) if "# here" in line)
    assert (found.file, found.line) == ("shop.yaml", expected)
    assert words in f"{found.message}; {found.hint}"
    assert "pydantic" not in str(found)
    assert "Input should" not in str(found)
    assert found.severity is Severity.ERROR


def test_every_code_of_loading_has_a_row() -> None:
    codes = list(CATALOGUE)
    assert {code for code, _, _ in MISTAKES} == set(codes[: codes.index("unknown-event")])


def test_several_mistakes_come_by_line_and_do_not_hide_the_other_documents() -> None:
    broken = reaction("          port: 0\n          path: x\n")
    text = f"{broken}---\n{BUS}---\n---\n{BUS.replace('default', 'other')}"
    loaded = load(text, "shop.yaml")
    assert [(found.code, found.line) for found in loaded.findings] == [("invalid-port", 10), ("invalid-path", 11)]
    assert [bus.metadata.name for bus in loaded.buses] == ["default", "other"]
    assert loaded.choreographies == ()


def test_a_finding_points_at_line_column_and_path() -> None:
    [found] = load(reaction("          delivery: {timeout: 5 s}\n"), "shop.yaml").findings
    assert str(found) == (
        "shop.yaml:10:22 spec.services.shop.reactions[0].delivery.timeout: "
        'error invalid-duration: "5 s" is not a duration; write "5s"'
    )


def test_later_findings_are_located_in_the_document_of_their_resource() -> None:
    choreography = spec("  services:\n    shop: {port: 80}\n")
    loaded = load(f"{BUS}---\n{choreography}", "shop.yaml")
    path = ("spec", "services", "shop", "reactions", 0)
    about = finding("long-chain", path, "message", "hint")
    here = loaded.locate(replace(about, resource="Choreography/default/shop"))
    assert (here.file, here.line, here.column) == ("shop.yaml", 11, 5)
    assert loaded.locate(about) == about
    assert loaded.locate_all([here, about]) == [about, here]


def test_anchors_merges_times_and_numbers_are_read_as_kubectl_reads_them() -> None:
    text = spec(
        "  services:\n"
        "    shop:\n"
        "      reactions:\n"
        "        - &first {event: OrderPlaced, path: /a, startFrom: 2026-01-31T12:00:00Z, suspend: yes}\n"
        "        - {<<: *first, event: OrderPaid}\n"
    )
    [choreography] = load(text, "shop.yaml").choreographies
    first, second = choreography.spec.services["shop"].reactions
    assert (first.start_from, first.suspend) == ("2026-01-31T12:00:00Z", True)
    assert (second.event, second.path) == ("OrderPaid", "/a")


def test_a_snake_case_field_is_no_field_of_a_document() -> None:
    [found] = load(spec("  services: {}\n  delivery: {backoff_max: 1m}\n"), "shop.yaml").findings
    assert (found.code, found.hint) == ("unknown-field", 'did you mean "backoffMax"?')


def test_an_object_of_the_api_is_judged_like_a_document() -> None:
    value = {"apiVersion": "choregos.dev/v1alpha1", "kind": "EventBus", "metadata": {"name": "default"}}
    assert isinstance(resource_of(value), EventBus)
    assert isinstance(resource_of({**value, "spec": {"servers": 1}}), list)


def test_a_password_in_a_servers_url_is_not_repeated() -> None:
    (found,) = load(f"{BUS}spec: {{servers: ['nats://jane:secret@nats:4222']}}\n", "bus.yaml").findings
    assert "a password" in found.message
    assert "secret" not in f"{found.message}{found.hint}"


def test_a_path_is_written_as_a_reader_would() -> None:
    assert render_path(("spec", "reactions", 1, "emits", 0)) == "spec.reactions[1].emits[0]"
    assert (
        render_path(("metadata", "annotations", "choregos.dev/ignore")) == 'metadata.annotations["choregos.dev/ignore"]'
    )
    assert render_path(()) == ""


def test_every_code_is_kebab_case_and_summed_up_in_a_sentence() -> None:
    for code, rule in CATALOGUE.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)
        assert rule.summary.endswith(".")


@pytest.mark.parametrize("value", ['"3\\n0 s"', '"3\\r0"', "3\n\n            0", '"\\u2028"'])
def test_a_finding_is_one_line_whatever_it_quotes(value: str) -> None:
    """Found by `make fuzz`."""
    for field in ("timeout", "maxReplyBytes"):
        [found] = load(reaction(f"          delivery: {{{field}: {value}}}\n"), "f").findings
        assert str(found).isprintable()
    [found] = load(f'{HEAD}spec: {{events: {{A: {{}}}}, services: {{}}, "a\\nb": 1}}', "f").findings
    assert str(found).isprintable()


@given(st.text(alphabet="abn:{}[]-#&*!|>'\"%@`\t\n 0,<?", max_size=40))
@example("&a {<<: *a}")
@example("? - a\n: b")
def test_no_text_at_all_escapes_as_an_exception(text: str) -> None:
    for prefix in ("", f"{HEAD}spec:\n  events:\n    A: "):
        loaded = load(prefix + text, "f")
        assert loaded.findings
        assert all(found.line for found in loaded.findings)


def test_the_whole_choreography_is_typed() -> None:
    [choreography] = load(reaction("          path: /orders\n"), "shop.yaml").resources
    assert isinstance(choreography, Choreography)
    assert choreography.spec.services["shop"].reactions[0].path == "/orders"
