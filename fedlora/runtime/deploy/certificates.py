"""A federation's own certificate authority, its server's certificate, its clients' keys."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedlora.errors import FedloraError

Key = ec.EllipticCurvePrivateKey

_AUTHORITY_DAYS, SERVER_DAYS = 3650, 825
_EARLIER = timedelta(hours=1)
"""Certificates hold from a little before now, for clocks that run late."""


@dataclass(frozen=True)
class Authority:
    """A certificate authority: its private key and its own certificate."""

    key: Key
    certificate: x509.Certificate


def new_key() -> Key:
    """A private key on P-384, the curve that Flower asks SuperNodes for."""
    return ec.generate_private_key(ec.SECP384R1())


def new_authority(name: str) -> Authority:
    """An authority that signs for one federation and nothing else."""
    key = new_key()
    subject = _subject(f"{name} authority")
    builder = (
        _builder(subject, subject, key, _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
    )
    return Authority(key, builder.sign(key, hashes.SHA384()))


def sign_server(authority: Authority, hosts: Sequence[str], key: Key) -> x509.Certificate:
    """A server's certificate for every name and address by which it may be called."""
    names = [_general_name(host) for host in dict.fromkeys(hosts)]
    builder = (
        _builder(_subject(hosts[0]), authority.certificate.subject, key, SERVER_DAYS)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    return builder.sign(authority.key, hashes.SHA384())


def certificate_bytes(certificate: x509.Certificate) -> bytes:
    """PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_bytes(key: Key) -> bytes:
    """A private key for TLS: PKCS 8 in PEM, without a password."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def node_key_bytes(key: Key, comment: str) -> tuple[bytes, bytes]:
    """A SuperNode's private and public key, both in OpenSSH's format, which Flower reads.

    comment: follows the public key, for whoever reads the file.
    """
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return private, public + f" {comment}\n".encode("ascii")


def read_certificate(path: Path) -> x509.Certificate:
    """A certificate.

    Raises:
        FedloraError: the file is missing or no certificate in PEM.
    """
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        raise FedloraError(
            f"{path}: no certificate can be read from it: copy it again from where init wrote it"
        ) from None


def read_node_key(path: Path) -> Key:
    """A SuperNode's private key, in OpenSSH's format.

    Raises:
        FedloraError: the file is missing or no such key.
    """
    try:
        key = serialization.load_ssh_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise FedloraError(
            f"{path}: no private key can be read from it ({error}); copy the client's folder again"
        ) from None
    if not isinstance(key, Key):
        raise FedloraError(f"{path}: not a key on P-384; copy the client's folder again")
    return key


def read_key(path: Path) -> Key:
    """A private key that `key_bytes` wrote.

    Raises:
        FedloraError: the file is missing or no such key.
    """
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise FedloraError(f"{path}: no private key can be read from it ({error})") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise FedloraError(f"{path}: not a key on an elliptic curve; run fedlora deploy init")
    return key


def names_of(certificate: x509.Certificate) -> list[str]:
    """Every name and address that a certificate speaks for."""
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = found.get_values_for_type(x509.IPAddress)
    return [*found.get_values_for_type(x509.DNSName), *map(str, addresses)]


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host.encode("idna").decode())
    except UnicodeError:
        raise FedloraError(f"hosts: '{host}' is neither a name nor an address") from None


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(signs: bool) -> x509.KeyUsage:
    """What a key may be used for: an authority's to sign certificates, a server's for TLS."""
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
