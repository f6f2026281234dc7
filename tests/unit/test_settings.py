"""Settings from the environment: what cannot be used is said by the name of its variable."""

import pytest

from choregos_ambassador.settings import Settings, SettingsError, read

LEAST = {"CHOREGOS_CONFIG": "/etc/choregos/configuration.json", "CHOREGOS_NATS_URL": "nats://nats:4222"}


def test_two_variables_are_enough() -> None:
    assert read(LEAST) == Settings(config="/etc/choregos/configuration.json", nats_url="nats://nats:4222")


def test_every_setting_has_its_variable() -> None:
    settings = read(
        {
            **LEAST,
            "CHOREGOS_NATS_CREDENTIALS": "/etc/nats",
            "CHOREGOS_TARGET_HOST": "10.0.0.1",
            "CHOREGOS_PUBLISH_HOST": "0.0.0.0",
            "CHOREGOS_PUBLISH_PORT": "0",
            "CHOREGOS_PROBES_HOST": "127.0.0.1",
            "CHOREGOS_PROBES_PORT": "65535",
            "CHOREGOS_NATS_TLS_HANDSHAKE_FIRST": "true",
            "CHOREGOS_NATS_TLS_SERVER_NAME": "nats.example",
            "CHOREGOS_LOG_LEVEL": "debug",
            "CHOREGOS_LOG_EVENTS": "1",
        }
    )
    assert settings == Settings(
        config=LEAST["CHOREGOS_CONFIG"],
        nats_url=LEAST["CHOREGOS_NATS_URL"],
        nats_credentials="/etc/nats",
        nats_tls_handshake_first=True,
        nats_tls_server_name="nats.example",
        target_host="10.0.0.1",
        publish_host="0.0.0.0",
        publish_port=0,
        probes_host="127.0.0.1",
        probes_port=65535,
        log_level="debug",
        log_events=True,
    )


def test_variables_of_others_are_let_pass() -> None:
    assert read({**LEAST, "PATH": "/bin", "CHOREGOS_SERVICE_HOST": "10.0.0.1", "PUBLISH_PORT": "x"}) == read(LEAST)


def test_several_servers_are_separated_by_commas() -> None:
    assert read({**LEAST, "CHOREGOS_NATS_URL": "nats://a:1, nats://b:2,"}).servers == ["nats://a:1", "nats://b:2"]


@pytest.mark.parametrize(("written", "said"), [("1", True), ("true", True), ("0", False), ("false", False)])
def test_a_switch_is_on_or_off(written: str, said: bool) -> None:
    assert read({**LEAST, "CHOREGOS_LOG_EVENTS": written}).log_events is said


@pytest.mark.parametrize("missing", sorted(LEAST))
def test_what_is_missing_is_named(missing: str) -> None:
    environment = {name: value for name, value in LEAST.items() if name != missing}
    with pytest.raises(SettingsError, match=f"^{missing} is not set"):
        read(environment)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CHOREGOS_CONFIG", ""),
        ("CHOREGOS_NATS_URL", ""),
        ("CHOREGOS_NATS_URL", " , "),
        ("CHOREGOS_PUBLISH_PORT", "http"),
        ("CHOREGOS_PUBLISH_PORT", "-1"),
        ("CHOREGOS_PUBLISH_PORT", "tcp://10.0.0.1:9480"),
        ("CHOREGOS_PROBES_PORT", "65536"),
        ("CHOREGOS_PROBES_PORT", ""),
        ("CHOREGOS_LOG_LEVEL", "verbose"),
        ("CHOREGOS_LOG_LEVEL", "INFO"),
        ("CHOREGOS_LOG_EVENTS", "maybe"),
    ],
)
def test_what_cannot_be_used_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}\\b"):
        read({**LEAST, variable: value})
