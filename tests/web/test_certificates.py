"""Our own certificate: trusted by who is told to, made once, and never left half made."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from voice_server.web.certificates import (
    ALWAYS,
    BadCertificate,
    Certificate,
    context_of,
    given_certificate,
    names_of_this_machine,
    now,
    own_certificate,
    self_signed,
)

LATER = timedelta(days=300)


async def shakes_hands(certificate: Certificate, name: str, trusts: ssl.SSLContext) -> None:
    """A real handshake over a real socket. Raises `ssl.SSLError`."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    context = context_of(certificate.path, certificate.key_path)
    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context)
    try:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusts, server_hostname=name
        )
        writer.close()
    finally:
        server.close()


def trusting(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificate.path)
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # As newer Pythons do by themselves.
    return context


@pytest.mark.parametrize("name", [*ALWAYS, "laptop", "192.168.1.7"])
async def test_who_is_told_to_trust_it_does(tmp_path: Path, name: str) -> None:
    certificate = own_certificate(tmp_path / "tls", {*ALWAYS, "laptop", "192.168.1.7"}, now())
    await shakes_hands(certificate, name, trusting(certificate))


async def test_nobody_else_does_and_not_for_another_name(tmp_path: Path) -> None:
    certificate = own_certificate(tmp_path / "tls", ALWAYS, now())
    other = own_certificate(tmp_path / "other", ALWAYS, now())
    for name, trusts in (
        ("localhost", ssl.create_default_context()),
        ("localhost", trusting(other)),
        ("evil.example", trusting(certificate)),
        ("127.0.0.2", trusting(certificate)),
    ):
        with pytest.raises(ssl.SSLCertVerificationError):
            await shakes_hands(certificate, name, trusts)


def test_it_is_its_own_authority_and_says_so(tmp_path: Path) -> None:
    certificate = own_certificate(tmp_path, ALWAYS, now())
    found = x509.load_pem_x509_certificate(certificate.path.read_bytes())
    assert found.issuer == found.subject
    basic = found.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical and basic.value.ca and basic.value.path_length == 0
    # Browsers refuse what is good for longer than 398 days.
    assert found.not_valid_after_utc - found.not_valid_before_utc < timedelta(days=398)
    told = subprocess.run(
        ["openssl", "x509", "-in", str(certificate.path), "-noout", "-fingerprint", "-sha256"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.strip().rpartition("=")[2] == certificate.fingerprint


def test_its_key_is_ours_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        own_certificate(tmp_path / "tls", ALWAYS, now())
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "tls").iterdir()}
    assert (modes["key.pem"], modes["cert.pem"]) == (0o600, 0o644)
    assert set(modes) == {"key.pem", "cert.pem", "lock"}, "nothing is left over"


def fingerprints(folder: Path, names: Iterable[str], *times: datetime) -> list[str]:
    return [own_certificate(folder, names, time).fingerprint for time in times]


def test_it_is_made_once_and_again_before_its_end(tmp_path: Path) -> None:
    day = timedelta(days=1)
    made = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    first, kept, renewed = fingerprints(
        tmp_path, ALWAYS, made, made + 335 * day, made + 335 * day + timedelta(seconds=1)
    )
    assert first == kept != renewed
    assert fingerprints(tmp_path, ALWAYS, made + 2_000 * day) != [renewed], "long forgotten"


def test_a_machine_with_another_name_gets_another(tmp_path: Path) -> None:
    time = now()
    first, more = own_certificate(tmp_path, ALWAYS, time), {*ALWAYS, "laptop"}
    renamed = own_certificate(tmp_path, more, time)
    assert renamed.fingerprint != first.fingerprint
    assert own_certificate(tmp_path, ALWAYS, time) == renamed, "it serves for fewer names too"


@pytest.mark.parametrize("broken", ["cert.pem", "key.pem"])
@pytest.mark.parametrize("how", ["gone", "empty", "garbage", "another"])
async def test_what_a_crash_left_is_made_anew(tmp_path: Path, broken: str, how: str) -> None:
    first = own_certificate(tmp_path, ALWAYS, now())
    other, other_key = self_signed(ALWAYS, now())
    spoilt = {
        "empty": b"", "garbage": b"-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n",
        "another": other if broken == "cert.pem" else other_key,
    }  # fmt: skip
    if how == "gone":
        (tmp_path / broken).unlink()
    else:
        (tmp_path / broken).write_bytes(spoilt[how])
    again = own_certificate(tmp_path, ALWAYS, now())
    assert again.fingerprint != first.fingerprint
    await shakes_hands(again, "localhost", trusting(again))


async def test_servers_that_start_at_once_agree(tmp_path: Path) -> None:
    made = await asyncio.gather(
        *(asyncio.to_thread(own_certificate, tmp_path, ALWAYS, now()) for _ in range(8))
    )
    assert len({each.fingerprint for each in made}) == 1
    await shakes_hands(made[0], "localhost", trusting(made[0]))


def test_where_nothing_can_be_kept_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadCertificate, match="no certificate can be kept in"):
        own_certificate(tmp_path / "file", ALWAYS, now())


def test_names_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "laptop")
    assert names_of_this_machine("0.0.0.0") == {*ALWAYS, "laptop"}
    assert names_of_this_machine("192.168.1.7") == {*ALWAYS, "laptop", "192.168.1.7"}
    for odd in ("", "a b", "ноутбук", "x" * 300, "-", "a..b", "a\n"):
        monkeypatch.setattr(socket, "gethostname", lambda odd=odd: odd)
        assert names_of_this_machine("") == set(ALWAYS), odd


def given(folder: Path, *, password: bytes = b"") -> tuple[Path, Path]:
    """A certificate as an operator may have it, with an RSA key."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "voice.example")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - LATER)
        .not_valid_after(now() + LATER)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("voice.example")]), False)
        .sign(key, hashes.SHA256())
    )
    locked: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        locked = serialization.BestAvailableEncryption(password)
    pem = serialization.Encoding.PEM
    cert_path, key_path = folder / "given.crt", folder / "given.key"
    cert_path.write_bytes(certificate.public_bytes(pem))
    key_path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, locked))
    return cert_path, key_path


async def test_a_certificate_of_ones_own_in_two_files_or_in_one(tmp_path: Path) -> None:
    cert_path, key_path = given(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(cert_path.read_bytes() + key_path.read_bytes())
    for certificate in (given_certificate(cert_path, key_path), given_certificate(both, None)):
        await shakes_hands(certificate, "voice.example", trusting(certificate))


def test_a_certificate_that_cannot_be_used_is_said_to_be_so(tmp_path: Path) -> None:
    cert_path, key_path = given(tmp_path)
    _, other_key = self_signed(ALWAYS, now())
    (tmp_path / "other.key").write_bytes(other_key)
    (tmp_path / "empty").touch()
    (tmp_path / "locked").mkdir()
    _, locked = given(tmp_path / "locked", password=b"secret")
    for cert, key in (
        (tmp_path / "none", key_path), (cert_path, tmp_path / "none"), (cert_path, None),
        (cert_path, tmp_path / "other.key"), (tmp_path / "empty", key_path), (key_path, key_path),
        (tmp_path, key_path), (tmp_path / "locked" / "given.crt", locked),
    ):  # fmt: skip
        with pytest.raises(BadCertificate) as refusal:
            given_certificate(cert, key)
        assert str(cert) in str(refusal.value)
