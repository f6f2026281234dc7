"""What is issued: a chain that other people's software takes, for the names of the Service and for no longer than said."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from choregos_operator.certificates.issue import Authority, Terms, new_authority, new_leaf
from choregos_operator.certificates.trust import bundle_of, certificates_in, is_authority, proves, renewal_due
from choregos_operator.settings import Settings

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TERMS = Terms.of(Settings(namespace="shop-system", webhook_service="hook"))


def openssl(*arguments: str | Path, code: int = 0) -> str:
    ended = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == code, ended.stderr
    return ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, another one, and a certificate of the first, as files."""
    directory = tmp_path_factory.mktemp("issued")
    authority, other = new_authority(TERMS, NOW), new_authority(TERMS, NOW)
    leaf = new_leaf(authority, TERMS, NOW)
    for name, pair in (("ca", authority), ("other", other), ("leaf", leaf)):
        (directory / f"{name}.crt").write_bytes(pair.certificate.public_bytes(Encoding.PEM))
    return directory


@pytest.mark.parametrize("name", ["hook.shop-system.svc", "hook.shop-system.svc.cluster.local"])
def test_openssl_takes_the_certificate_for_the_names_of_the_service(files: Path, name: str) -> None:
    options = ("-x509_strict", "-purpose", "sslserver", "-attime", str(int(NOW.timestamp())), "-verify_hostname", name)
    said = openssl("verify", *options, "-CAfile", files / "ca.crt", files / "leaf.crt")
    assert said.strip() == f"{files / 'leaf.crt'}: OK"


@pytest.mark.parametrize(
    ("authority", "name", "at", "complaint"),
    [
        ("other", "hook.shop-system.svc", NOW, "unable to get local issuer certificate"),
        ("ca", "other.shop-system.svc", NOW, "hostname mismatch"),
        ("ca", "hook.shop-system.svc", NOW + timedelta(days=90, seconds=1), "certificate has expired"),
        ("ca", "hook.shop-system.svc", NOW - timedelta(hours=1, seconds=1), "certificate is not yet valid"),
    ],
)
def test_openssl_refuses_it_for_another_name_time_or_authority(
    files: Path, authority: str, name: str, at: datetime, complaint: str
) -> None:
    options = ("-attime", str(int(at.timestamp())), "-verify_hostname", name)
    said = openssl("verify", *options, "-CAfile", files / f"{authority}.crt", files / "leaf.crt", code=2)
    assert complaint in said


def test_our_own_judgement_is_openssls() -> None:
    authority, other = new_authority(TERMS, NOW), new_authority(TERMS, NOW)
    leaf = new_leaf(authority, TERMS, NOW).certificate
    assert proves(authority.certificate, leaf, TERMS, NOW)
    assert not proves(other.certificate, leaf, TERMS, NOW)
    assert not proves(authority.certificate, leaf, Terms(names=("other.shop-system.svc",)), NOW)
    assert not proves(authority.certificate, leaf, TERMS, NOW + timedelta(days=90, seconds=1))
    assert not proves(authority.certificate, leaf, TERMS, NOW - timedelta(hours=1, seconds=1))


def test_the_authority_signs_certificates_and_the_certificate_does_not() -> None:
    authority = new_authority(TERMS, NOW)
    assert is_authority(authority.certificate)
    assert not is_authority(new_leaf(authority, TERMS, NOW).certificate)


def test_no_two_authorities_have_one_name() -> None:
    assert len({new_authority(TERMS, NOW).certificate.subject for _ in range(100)}) == 100


def test_a_certificate_never_outlives_its_authority() -> None:
    authority = new_authority(TERMS, NOW)
    late = NOW + timedelta(days=300)
    end = new_leaf(authority, TERMS, late).certificate.not_valid_after_utc
    assert end == authority.certificate.not_valid_after_utc == NOW + timedelta(days=365)


def test_renewal_is_due_after_two_thirds_of_the_life() -> None:
    authority = new_authority(TERMS, NOW)
    due = renewal_due(new_leaf(authority, TERMS, NOW).certificate, TERMS)
    assert due == NOW + timedelta(days=60)
    assert renewal_due(authority.certificate, TERMS) - NOW == timedelta(days=365) * 2 / 3


def test_an_authority_is_due_while_it_can_still_sign_for_the_whole_life_of_a_certificate() -> None:
    assert TERMS.authority_lifetime / 3 > TERMS.leaf_lifetime


def test_a_long_name_of_the_service_does_not_break_the_certificate() -> None:
    terms = Terms.of(Settings(namespace="n" * 63, webhook_service="s" * 63))
    authority = new_authority(terms, NOW)
    assert proves(authority.certificate, new_leaf(authority, terms, NOW).certificate, terms, NOW)


def test_nobody_sees_a_key_in_what_is_printed() -> None:
    authority = new_authority(TERMS, NOW)
    assert "key" not in repr(authority)
    assert "key" not in repr(new_leaf(authority, TERMS, NOW))


AUTHORITIES = tuple(new_authority(TERMS, NOW) for _ in range(4))


@given(st.permutations(AUTHORITIES))
def test_the_order_of_authorities_does_not_change_the_bundle(shuffled: list[Authority]) -> None:
    bundle = bundle_of(each.certificate for each in shuffled)
    assert bundle == bundle_of(each.certificate for each in AUTHORITIES)
    assert certificates_in(bundle) == {each.certificate for each in AUTHORITIES}


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_garbage_around_a_certificate_is_passed_over(before: bytes, after: bytes) -> None:
    one = AUTHORITIES[0].certificate
    assert certificates_in(before + b"\n" + one.public_bytes(Encoding.PEM) + after) == {one}


def test_a_certificate_that_is_cut_short_is_none() -> None:
    pem = AUTHORITIES[0].certificate.public_bytes(Encoding.PEM)
    cut = pem.splitlines()
    assert certificates_in(b"\n".join(cut[:3] + cut[-1:])) == frozenset[x509.Certificate]()
