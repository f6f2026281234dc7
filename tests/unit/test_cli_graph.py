"""`choregos graph` draws what lints clean, in three languages, and draws the same for the same files."""

import json
from pathlib import Path

import pytest

from choregos_cli.main import main
from support.console_script import choregos
from support.documents import ANALYTICS, ORDERS, WARNING, changed


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHOREGOS_DEBUG", raising=False)
    Path("orders.yaml").write_text(ORDERS)
    Path("analytics.yaml").write_text(ANALYTICS)


def test_the_process_draws_mermaid_unless_told_otherwise(tmp_path: Path) -> None:
    ended = choregos("graph", "orders.yaml", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("flowchart LR\n")
    assert ended.stdout == choregos("graph", "-", stdin=ORDERS.encode()).stdout


@pytest.mark.parametrize(("format_", "begin"), [("mermaid", "flowchart LR\n"), ("dot", "digraph "), ("json", "{\n")])
def test_each_format_shows_every_event_and_service(
    format_: str, begin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["graph", "orders.yaml", "--format", format_]) == 0
    drawn = capsys.readouterr().out
    assert drawn.startswith(begin)
    for word in ("OrderPlaced", "PaymentTaken", "OrderShipped", "shop", "payment", "shipping"):
        assert word in drawn


def test_several_files_give_one_graph(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "orders.yaml", "analytics.yaml", "--json"]) == 0
    graph = json.loads(capsys.readouterr().out)
    assert [service["name"] for service in graph["services"]] == ["shop", "payment", "shipping", "analytics"]
    assert [(step["service"], step["event"]) for step in graph["reactions"]][-1] == ("analytics", "OrderShipped")
    assert [event["kind"] for event in graph["events"] if event["name"] == "OrderShipped"] == ["completed"]


def test_a_warning_does_not_keep_it_from_drawing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("orders.yaml").write_text(WARNING)
    assert main(["graph", "orders.yaml"]) == 0
    assert capsys.readouterr().err == ""


def test_an_error_is_printed_as_lint_would_print_it_and_nothing_is_drawn(tmp_path: Path) -> None:
    Path("orders.yaml").write_text(changed("timeout: 5s", "timeout: 5 s"))
    drawn = choregos("graph", "orders.yaml", cwd=tmp_path)
    assert (drawn.returncode, drawn.stdout) == (1, "")
    assert drawn.stderr == choregos("lint", "orders.yaml", cwd=tmp_path).stdout


def test_what_cannot_be_read_or_asked_for_is_misuse(tmp_path: Path) -> None:
    absent = choregos("graph", "absent.yaml", cwd=tmp_path)
    assert (absent.returncode, absent.stdout) == (2, "")
    assert absent.stderr.startswith("error: cannot read absent.yaml")
    assert main(["graph", "orders.yaml", "--format", "svg"]) == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("apiVersion: v1\nkind: ConfigMap\n", "there is no choreography to draw"),
        (
            f"{ORDERS}---\n{ANALYTICS.replace('namespace: shop', 'namespace: ops')}",
            "do not share a namespace and bus: shop/default, ops/default",
        ),
    ],
)
def test_what_makes_no_single_picture_is_refused(text: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("orders.yaml").write_text(text)
    assert main(["graph", "orders.yaml"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in printed.err
