"""Certificates of a service for this machine, of an authority of its own; and of another one."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID = datetime.timedelta(days=3650)
_HOSTS = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]


class Certificates:
    """Files in PEM below ``folder``, made when they are not there."""

    def __init__(self, folder: Path) -> None:
        self.ca = folder / "ca.pem"
        self.server, self.server_key = folder / "server.pem", folder / "server.key"
        self.server_both = folder / "server-both.pem"
        self.client, self.client_key = folder / "client.pem", folder / "client.key"
        # Of an authority that the server does not know, nor anybody who knows the server's.
        self.other_ca = folder / "other-ca.pem"
        self.other_client, self.other_key = folder / "other-client.pem", folder / "other-client.key"
        if not self.other_key.exists():
            folder.mkdir(parents=True, exist_ok=True)
            own, other = _Authority("Test"), _Authority("Other")
            self.ca.write_bytes(own.pem)
            self.other_ca.write_bytes(other.pem)
            own.sign("localhost", ExtendedKeyUsageOID.SERVER_AUTH, self.server, self.server_key)
            self.server_both.write_bytes(self.server_key.read_bytes() + self.server.read_bytes())
            own.sign("app", ExtendedKeyUsageOID.CLIENT_AUTH, self.client, self.client_key)
            other.sign("app", ExtendedKeyUsageOID.CLIENT_AUTH, self.other_client, self.other_key)


class _Authority:
    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(f"{name} CA")
        made = _begun(self._name, self._name, self._key.public_key(), self._key.public_key())
        self.pem = (
            made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .sign(self._key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )

    def sign(
        self, name: str, purpose: x509.ObjectIdentifier, certificate: Path, key_file: Path
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        made = _begun(_named(name), self._name, key.public_key(), self._key.public_key())
        signed = (
            made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName(_HOSTS), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
) -> x509.CertificateBuilder:  # fmt: skip
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False
        )
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=signs, crl_sign=signs,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
