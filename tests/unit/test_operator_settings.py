"""The operator's settings: what must not be in them is refused, and not shown."""

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
