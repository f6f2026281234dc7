"""The operator's settings: what must not be in them is refused, and not shown."""

from pathlib import Path

import pytest

from choregos_operator.settings import SettingsError, read


@pytest.mark.parametrize("url", ["nats://u:secret@a:4222", "nats://a:4222, tls://secret@b:4222"])
def test_a_password_in_the_servers_url_is_refused_because_every_pod_would_get_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHOREGOS_NATS_URL", url)
    with pytest.raises(SettingsError) as refusal:
        read()
    for named in ("CHOREGOS_NATS_URL", "CHOREGOS_NATS_CREDENTIALS", "choregos-bus-<bus>"):
        assert named in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_servers_without_a_password_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHOREGOS_NATS_URL", "nats://a:4222, tls://b:4222")
    assert read().servers == ("nats://a:4222", "tls://b:4222")


@pytest.mark.parametrize(
    "url", ["nats://nats", "ws://a:80/", "wss://a.b.c:443", "nats://[::1]:4222", "tls://10.0.0.1:1,"]
)
def test_every_url_that_a_nats_client_takes_is_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHOREGOS_NATS_URL", url)
    assert read().servers == (url.rstrip(","),)


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("nats:4222", "'nats:4222' does not begin with nats://, tls://, ws:// or wss://"),
        ("nats.nats", "'nats.nats' does not begin with nats://"),
        ("http://nats:4222", "'http://nats:4222' does not begin with nats://"),
        ("nats://a:4222,b:4222", "'b:4222' does not begin with nats://"),
        ("nats://:4222", "'nats://:4222' names no host"),
        ("tls://", "'tls://' names no host"),
        ("nats://a:port", "'nats://a:port' has a port that is none, or a broken address"),
        ("nats://a:65536", "'nats://a:65536' has a port that is none"),
        ("nats://a:0", "'nats://a:0' has a port that is none"),
        ("nats://[::1:4222", "'nats://[::1:4222' has a port that is none, or a broken address"),
        ("nats://a:4222/path", "'nats://a:4222/path' holds more than a scheme, a host and a port"),
        ("nats://a:4222 nats://b:4222", "'nats://a:4222 nats://b:4222' has a port that is none"),
        ("", "CHOREGOS_NATS_URL is ''; it takes URLs such as nats://nats.nats:4222"),
        (" , ", "CHOREGOS_NATS_URL is ' , '; it takes URLs"),
    ],
)
def test_what_is_no_url_of_a_nats_server_is_refused_at_the_start(
    url: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHOREGOS_NATS_URL", url)
    with pytest.raises(SettingsError) as refusal:
        read()
    assert wrong in str(refusal.value)
    assert "it takes URLs such as nats://nats.nats:4222" in str(refusal.value)
    assert str(refusal.value).startswith("CHOREGOS_NATS_URL")


def test_credentials_that_are_no_directory_are_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nats.creds").write_text("")
    for missing in (tmp_path / "nowhere", tmp_path / "nats.creds"):
        monkeypatch.setenv("CHOREGOS_NATS_CREDENTIALS", str(missing))
        with pytest.raises(SettingsError, match=f"CHOREGOS_NATS_CREDENTIALS is '{missing}', which is no directory"):
            read()
    monkeypatch.setenv("CHOREGOS_NATS_CREDENTIALS", str(tmp_path))
    assert read().nats_credentials == tmp_path
