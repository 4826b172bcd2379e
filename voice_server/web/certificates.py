"""The certificate behind https and wss: one that is given to us, or one that we make.

Ours is made once and kept until it nears its end, or until this machine goes by another name.
It signs itself and is its own authority, so that whoever is told to trust it needs no other
file: Node.js (NODE_EXTRA_CA_CERTS), Python, curl and browsers. The key never leaves its file.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CERTIFICATE_FILE, KEY_FILE = "cert.pem", "key.pem"
LIFE, RENEWED_BEFORE = timedelta(days=365), timedelta(days=30)
# A clock that is behind ours must not find a certificate of the future.
CLOCKS_DIFFER = timedelta(days=1)
ALWAYS = ("localhost", "127.0.0.1", "::1")
ANYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104
_HOST = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*"
)


class BadCertificate(Exception):
    """The certificate or its key cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate in a PEM file. `fingerprint` is SHA-256, as browsers show it."""

    path: Path
    key_path: Path | None
    fingerprint: str
    expires: datetime


def given_certificate(path: Path, key_path: Path | None) -> Certificate:
    """A certificate of the operator's own. Raises `BadCertificate`."""
    try:
        context_of(path, key_path)
        return _described(path, key_path, x509.load_pem_x509_certificate(path.read_bytes()))
    except OSError as error:  # What `ssl` has to say is one too.
        reason = error.strerror or str(error)
        files = f"{path} and {key_path}" if key_path else str(path)
        raise BadCertificate(f"the certificate cannot be used ({files}): {reason}") from None
    except ValueError as error:
        raise BadCertificate(f"{path} is no certificate: {error}") from None


def own_certificate(folder: Path, names: Iterable[str], now: datetime) -> Certificate:
    """The certificate in this folder, for these names; made if there is none that still serves.
    Raises `BadCertificate` where the folder cannot be used."""
    wanted = frozenset(names)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            # Two servers that start at once must not mix their files.
            fcntl.flock(lock, fcntl.LOCK_EX)
            return kept_certificate(folder, wanted, now) or _make(folder, wanted, now)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadCertificate(f"no certificate can be kept in {folder}: {reason}") from None


def kept_certificate(folder: Path, names: frozenset[str], now: datetime) -> Certificate | None:
    """The certificate in this folder, unless it must be made anew."""
    path, key_path = folder / CERTIFICATE_FILE, folder / KEY_FILE
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), None)
    except (FileNotFoundError, ValueError, TypeError):
        return None
    fits = key.public_key() == found.public_key()
    if not fits or found.not_valid_after_utc - now < RENEWED_BEFORE or not names <= _names(found):
        return None
    return _described(path, key_path, found)


def context_of(path: Path, key_path: Path | None) -> ssl.SSLContext:
    """What a server needs. Raises `OSError`, also for a key that wants a password."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path, key_path, password="")
    return context


def names_of_this_machine(host: str) -> frozenset[str]:
    """What callers may know this machine as, when it listens on `host`."""
    known = {socket.gethostname(), host} - ANYWHERE
    return frozenset(ALWAYS) | {name for name in known if _is_name(name)}


def self_signed(names: Iterable[str], now: datetime) -> tuple[bytes, bytes]:
    """A new certificate and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "voice-server"),
            x509.NameAttribute(NameOID.COMMON_NAME, "voice-server on this machine"),
        ]
    )
    builder = (
        x509.CertificateBuilder(subject, subject, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + LIFE)
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    for extension, critical in (
        (x509.SubjectAlternativeName(map(_general_name, sorted(names))), False),
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (_KEY_USAGE, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (identifier, False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
    ):
        builder = builder.add_extension(extension, critical)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )  # fmt: skip
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), private


_KEY_USAGE = x509.KeyUsage(
    digital_signature=True, key_cert_sign=True, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, crl_sign=False, encipher_only=False,
    decipher_only=False,
)  # fmt: skip


def _make(folder: Path, names: frozenset[str], now: datetime) -> Certificate:
    certificate, key = self_signed(names, now)
    path, key_path = folder / CERTIFICATE_FILE, folder / KEY_FILE
    _write(key_path, key, 0o600)
    # Whoever is to trust the certificate must be able to read it.
    _write(path, certificate, 0o644)
    return _described(path, key_path, x509.load_pem_x509_certificate(certificate))


def _write(path: Path, content: bytes, mode: int) -> None:
    """Never half a file, and never for a moment one that others may read."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
    new.replace(path)


def _described(path: Path, key_path: Path | None, found: x509.Certificate) -> Certificate:
    fingerprint = found.fingerprint(hashes.SHA256()).hex(":").upper()
    return Certificate(path.resolve(), key_path, fingerprint, found.not_valid_after_utc)


def _names(found: x509.Certificate) -> set[str]:
    try:
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    addresses = extension.value.get_values_for_type(x509.IPAddress)
    return {*extension.value.get_values_for_type(x509.DNSName), *map(str, addresses)}


def _general_name(name: str) -> x509.GeneralName:
    address = _address(name)
    return x509.DNSName(name) if address is None else x509.IPAddress(address)


def _is_name(name: str) -> bool:
    return _address(name) is not None or _HOST.fullmatch(name) is not None


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def now() -> datetime:
    return datetime.now(UTC)
