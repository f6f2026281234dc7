"""`choregos lint` tells one mistake once, with its line and its mend; programs get the same as JSON, and an exit code."""

import json
import os
import pty
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from choregos_cli.main import main
from support.console_script import SCRIPT, choregos, environment
from support.documents import ANALYTICS, ORDERS, WARNING, changed

FOREIGN = "apiVersion: v1\nkind: ConfigMap\ndata:\n  on: a\n  on: b\n"

MISTAKES = {
    "a misspelt field": (changed("emits: [PaymentTaken]", "emit: [PaymentTaken]"), "unknown-field", 20, "emits"),
    "an event that nothing emits": (
        changed("Shipped]", "Placed]").replace("onSuccess: OrderShipped", "onSuccess: OrderPlaced"),
        "never-emitted",
        10,
        "external",
    ),
    "a cycle that nothing leaves": (
        changed("    OrderShipped: {outcome: completed}\n", "").replace("OrderShipped", "OrderPlaced"),
        "endless-cycle",
        19,
        "outside of the circle",
    ),
    "an event that is not declared": (
        changed("- event: PaymentTaken", "- event: Paid"),
        "unknown-event",
        25,
        "declare",
    ),
    "a misspelt event": (changed("- event: Payment", "- event: Paymet"), "unknown-event", 25, '"PaymentTaken"'),
    "one service twice on one event": (
        ORDERS + "        - {event: PaymentTaken, path: /again}\n",
        "duplicate-reaction",
        29,
        "one reaction of the two",
    ),
    "a duration with a space": (changed("timeout: 5s", "timeout: 5 s"), "invalid-duration", 6, '"5s"'),
    "a tab": (changed("    timeout", "\ttimeout"), "tab-indentation", 6, "spaces"),
    "`on` as a key": (changed("- event: PaymentTaken", "- on: PaymentTaken"), "boolean-key", 25, "quotes"),
    "nothing at all": ("", "empty-document", 1, "write"),
}


def findings(printed: str) -> list[dict[str, Any]]:
    read = json.loads(printed)
    assert printed.count("\n") == 1
    assert read["errors"] + read["warnings"] == len(read["findings"])
    return list(read["findings"])


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHOREGOS_DEBUG", raising=False)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_mistake_is_one_finding_with_its_line(mistake: str, capsys: pytest.CaptureFixture[str]) -> None:
    text, code, line, hint = MISTAKES[mistake]
    Path("orders.yaml").write_text(text)
    assert main(["lint", "orders.yaml", "--json"]) == 1
    (found,) = findings(capsys.readouterr().out)
    assert (found["file"], found["line"], found["code"], found["severity"]) == ("orders.yaml", line, code, "error")
    assert found["column"] >= 1
    assert hint in found["hint"]
    assert set(found) == {"file", "line", "column", "path", "code", "severity", "message", "hint"}


def test_the_process_finds_every_mistake_in_its_own_file(tmp_path: Path) -> None:
    """Objects of the same name would be findings of their own, so each file holds another one."""
    expected = {}
    for number, (text, code, line, _) in enumerate(MISTAKES.values()):
        Path(f"{number}.yaml").write_text(text.replace("name: orders", f"name: orders-{number}"))
        expected[f"{number}.yaml"] = (code, line)
    ended = choregos("lint", "--json", *expected, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert {found["file"]: (found["code"], found["line"]) for found in findings(ended.stdout)} == expected


def test_the_text_names_place_code_sentence_and_mend(tmp_path: Path) -> None:
    Path("orders.yaml").write_text(changed("timeout: 5s", "timeout: 5 s"))
    ended = choregos("lint", "orders.yaml", cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stdout == (
        'orders.yaml:6:5: error[invalid-duration] "5 s" is not a duration\n'
        '  hint: write "5s"\n'
        "1 error, 0 warnings in 1 file\n"
    )


def test_each_exit_code_of_the_process(tmp_path: Path) -> None:
    Path("orders.yaml").write_text(WARNING)
    assert choregos("lint", "orders.yaml", cwd=tmp_path).returncode == 0
    assert choregos("lint", "orders.yaml", "--strict", cwd=tmp_path).returncode == 1
    unreadable = choregos("lint", "absent.yaml", cwd=tmp_path)
    assert unreadable.returncode == 2
    assert unreadable.stderr == (
        "error: cannot read absent.yaml: No such file or directory\n  hint: name a file that can be read, or `-`\n"
    )


def test_stdin_is_read_and_named(tmp_path: Path) -> None:
    ended = choregos("lint", "-", stdin=changed("timeout: 5s", "timeout: 0s").encode(), cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stdout.startswith("<stdin>:6:5: error[invalid-duration] ")


def test_a_terminal_shows_the_line_with_a_caret_and_no_color_means_none(tmp_path: Path) -> None:
    Path("orders.yaml").write_text(changed("timeout: 5s", "timeout: 5 s"))
    outer, inner = pty.openpty()
    env = environment({"NO_COLOR": "1", "TERM": "xterm"})
    with subprocess.Popen([SCRIPT, "lint", "orders.yaml"], stdout=inner, env=env, cwd=tmp_path) as process:
        process.wait(60)
    os.close(inner)
    shown = os.read(outer, 65536).decode().replace("\r\n", "\n")
    os.close(outer)
    plain = re.sub(r"\x1b\[[012]m", "", shown)
    assert "     6 |     timeout: 5 s\n" in plain
    assert "       |     ^\n" in plain
    assert "\x1b" not in plain


@pytest.mark.parametrize(
    ("files", "code", "expected"),
    [
        ({"orders.yaml": ORDERS}, 0, []),
        ({"orders.yaml": f"{FOREIGN}---\n{ORDERS}---\n{FOREIGN}"}, 0, []),
        ({"orders.yaml": FOREIGN}, 0, []),
        ({"orders.yaml": FOREIGN + "---\n" + changed("kind: Chor", "kind: Cor")}, 1, [("orders.yaml", 8)]),
        ({"orders.yaml": changed("choregos.dev/v1alpha1", "v1")}, 1, [("orders.yaml", 1)]),
        ({"orders.yaml": changed("v1alpha1", "v2")}, 1, [("orders.yaml", 1)]),
        ({"orders.yaml": f"{ORDERS}---\n{ANALYTICS}"}, 0, []),
        ({"orders.yaml": f"{ORDERS}---\n{ORDERS}"}, 1, [("orders.yaml", 32)]),
        ({"orders.yaml": ORDERS, "b.yaml": ORDERS}, 1, [("b.yaml", 3)]),
        ({"orders.yaml": WARNING}, 0, [("orders.yaml", 10)]),
        ({"orders.yaml": "\ufeff" + ORDERS}, 0, []),
    ],
)
def test_of_several_documents_each_is_checked_and_foreign_ones_are_passed_over(
    files: dict[str, str], code: int, expected: list[tuple[str, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in files.items():
        Path(name).write_text(text)
    assert main(["lint", "--json", *files]) == code
    assert [(found["file"], found["line"]) for found in findings(capsys.readouterr().out)] == expected


def test_files_given_together_are_checked_against_one_another(capsys: pytest.CaptureFixture[str]) -> None:
    Path("orders.yaml").write_text(ORDERS)
    Path("analytics.yaml").write_text(ANALYTICS.replace("OrderShipped", "OrderLost"))
    assert main(["lint", "--json", "analytics.yaml"]) == 0
    assert findings(capsys.readouterr().out) == []
    assert main(["lint", "--json", "orders.yaml", "analytics.yaml"]) == 0
    (found,) = findings(capsys.readouterr().out)
    assert (found["code"], found["file"], found["line"]) == ("nobody-emits", "analytics.yaml", 6)


def test_of_a_directory_what_is_ours_is_read_once_and_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    broken = changed("timeout: 5s", "timeout: 5 s")
    for name, text in {
        "b/orders.yml": broken.replace("name: orders", "name: b"),
        "a.yaml": broken,
        "template.yaml": "{{- if .Values.on }}\n\tx: {{ .Values.x }}\n",
        "choregos.local.yaml": "services: {}\n",
        "notes.txt": broken,
        ".hidden/orders.yaml": broken,
    }.items():
        Path("all", name).parent.mkdir(parents=True, exist_ok=True)
        Path("all", name).write_text(text)
    assert main(["lint", "--json", "all", "all/a.yaml"]) == 1
    assert [found["file"] for found in findings(capsys.readouterr().out)] == ["all/a.yaml", "all/b/orders.yml"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff\xfe", "orders.yaml is not UTF-8: byte 1"),
        (None, "no choreography in the directory orders.yaml (0 YAML files)"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(
    content: bytes | None, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is None:
        Path("orders.yaml").mkdir()
    else:
        Path("orders.yaml").write_bytes(content)
    assert main(["lint", "orders.yaml"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {sentence}")


def test_nothing_to_check_is_not_called_fine(capsys: pytest.CaptureFixture[str]) -> None:
    Path("orders.yaml").write_text(FOREIGN)
    assert main(["lint", "orders.yaml"]) == 0
    assert capsys.readouterr().out == "nothing to check: no choreography and no bus in 1 file\n"


def test_text_from_a_file_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Path("orders.yaml").write_text(changed("- event: PaymentTaken", '- event: "\\e[31mred"'))
    assert main(["lint", "orders.yaml"]) == 1
    assert "\x1b" not in capsys.readouterr().out


def test_the_bus_in_the_same_files_is_the_one_that_is_meant(capsys: pytest.CaptureFixture[str]) -> None:
    """A bus that remembers replies for less time than a retry may take is told at the choreography."""
    bus = (
        "apiVersion: choregos.dev/v1alpha1\nkind: EventBus\nmetadata: {name: default, namespace: shop}\n"
        "spec: {stream: {duplicateWindow: 20s}}\n"
    )
    Path("orders.yaml").write_text(ORDERS)
    Path("bus.yaml").write_text(bus)
    assert main(["lint", "--json", "bus.yaml", "orders.yaml"]) == 0
    (found,) = findings(capsys.readouterr().out)
    assert (found["code"], found["file"]) == ("short-duplicate-window", "orders.yaml")


def test_lint_does_not_wait_for_what_it_does_not_need() -> None:
    """It runs in hooks and in pipelines: no broker client, no HTTP client is imported."""
    script = "import sys; from choregos_cli.main import main; main(['lint', '-']); print(*sys.modules)"
    ended = subprocess.run(
        [SCRIPT.with_name("python"), "-c", script], input=ORDERS, capture_output=True, text=True, check=True, timeout=60
    )
    assert not {"nats", "aiohttp", "asyncio"} & set(ended.stdout.split())
