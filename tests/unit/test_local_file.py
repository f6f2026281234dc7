"""`choregos.local.yaml` is read as it is meant, and every mistake is told with its line and its mend."""

from pathlib import Path

import pytest

from choregos_cli.errors import MisuseError
from choregos_cli.local_file import LocalService, load_local

KNOWN = ("ingestion", "package", "dronescheduler")


def read(tmp_path: Path, text: str) -> dict[str, LocalService]:
    file = tmp_path / "choregos.local.yaml"
    file.write_text(text)
    return dict(load_local(file, KNOWN))


def test_every_field_is_read(tmp_path: Path) -> None:
    text = 'services:\n  package: {command: [python, package.py], port: 8081, env: {FAIL_RATE: "0.1"}, replicas: 2}\n'
    assert read(tmp_path, text) == {
        "package": LocalService(
            command=("python", "package.py"),
            port=8081,
            env={"FAIL_RATE": "0.1"},
            replicas=2,
            directory=tmp_path,
        )
    }


@pytest.mark.parametrize("text", ["", "services: {}", "# nothing yet\n"])
def test_nothing_said_means_that_the_user_runs_everything(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == {}


def test_a_file_that_is_not_there_names_no_service(tmp_path: Path) -> None:
    assert load_local(tmp_path / "choregos.local.yaml", KNOWN) == {}


def test_a_service_without_a_command_may_have_a_port(tmp_path: Path) -> None:
    service = read(tmp_path, "services: {package: {port: 9000}}")["package"]
    assert (service.command, service.port, service.replicas) == ((), 9000, 1)


@pytest.mark.parametrize(
    ("text", "place", "what", "hint"),
    [
        ("services:\n  pakage: {}\n", ":2:3: services.pakage:", 'no service "pakage"', 'did you mean "package"?'),
        ("services:\n  xyz: {}\n", ":2:3: services.xyz:", 'no service "xyz"', "the services are: dronescheduler"),
        ("service: {}\n", ":1:1: service:", 'no field "service"', 'did you mean "services"?'),
        (
            "services:\n  package:\n    comand: [python]\n",
            ":3:5: services.package.comand:",
            'no field "comand"',
            'did you mean "command"?',
        ),
        ("services: {package: {directory: /}}", ":1:22:", 'no field "directory"', "the fields here are: command, env"),
        (
            "services:\n  package:\n    command: python package.py\n",
            ":3:5: services.package.command:",
            "valid list",
            "a list of words",
        ),
        ("services: {package: {command: []}}", "command:", "at least 1 item", "a list of words"),
        ("services: {package: {port: 70000}}", "port:", "less than or equal to 65535", "from 1 to 65535"),
        ("services: {package: {port: '80'}}", "port:", "valid integer", "from 1 to 65535"),
        (
            "services: {package: {env: {FAIL_RATE: 0.1}}}",
            "env.FAIL_RATE:",
            "valid string",
            'such as {FAIL_RATE: "0.1"}',
        ),
        ("services: {package: {env: {PORT: '1'}}}", "env.PORT:", "PORT is set by the run itself", "name it `port`"),
        (
            "services: {package: {command: [a], replicas: 0}}",
            "replicas:",
            "greater than or equal to 1",
            "from 1 to 100",
        ),
        ("services: {package: {replicas: 2}}", "replicas:", "replicas without a command", "add a command"),
        ("services: [package]", ":1:1: services:", "valid dictionary", "write it as"),
        ("- package\n", ":1:1:", "valid", "write it as"),
        ("services: {package: 3}", "services.package:", "valid", "write it as"),
        ("services: {}\n---\nservices: {}\n", ":3:1:", "a second document", "put all services in one"),
        ("services:\n\tpackage: {}\n", ":2:1:", "a tab indents this line", "spaces only"),
        ("services: {package: {}, package: {}}", ":1:25:", "a second time", "keep one of them"),
    ],
)
def test_a_mistake_has_its_line_and_its_mend(tmp_path: Path, text: str, place: str, what: str, hint: str) -> None:
    with pytest.raises(MisuseError) as raised:
        read(tmp_path, text)
    said = raised.value.what
    assert said.startswith(str(tmp_path / "choregos.local.yaml") + ":")
    assert place in said
    assert what in said
    assert hint in raised.value.hint
