"""`python -m deploy.local.secrets.certs DIR`: makes a certificate authority for development, and a certificate for each service.

    DIR/ca.crt, DIR/ca.key                   created once and kept; the key is private
    DIR/<service>/{ca.crt,tls.crt,tls.key}   the service's MESH_TLS_DIR; created again each time

Each file is replaced atomically, so running the command again rotates the certificates of a running mesh. In production, use another
issuer, such as cert-manager or SPIRE; docs/operations.md lists what the certificates must contain.
"""

import argparse
import ipaddress
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.local.secrets.secret_files import write_private
from mesh.clock import SYSTEM_CLOCK
from mesh.security.certificates import CERTIFICATE, KEY, ROOTS
from mesh.security.identities import SERVICES, TRUST_DOMAIN, server_name, service_of

AUTHORITY_DAYS = 3650
DAYS = 90
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
"""The names and addresses under which local clients reach a server on the same machine."""
_BACKDATED = timedelta(minutes=5)


class DevelopmentAuthority:
    """The authority in a folder. It is created if the folder has none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "ca.key").exists():
            self._make()
        self.certificate = x509.load_pem_x509_certificate((folder / ROOTS).read_bytes())
        key = load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)  # `_make` creates no other kind
        self._key = key

    def folder_of(self, identity: str) -> Path:
        """The MESH_TLS_DIR of the service with this SPIFFE id."""
        return self._folder / service_of(identity)

    def issue(self, identity: str, hosts: Sequence[str] = LOCAL_NAMES, lifetime: timedelta = timedelta(days=DAYS)) -> Path:
        """Writes a new certificate for a service into its folder, replacing earlier files one by one. Returns the folder."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity), x509.DNSName(server_name(identity))]
        certificate = (
            _builder(service_of(identity), self.certificate.subject, key, lifetime)
            .add_extension(x509.SubjectAlternativeName(names + [_host_name(host) for host in hosts]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, SHA256())
        )
        folder = self.folder_of(identity)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in ((ROOTS, _pem(self.certificate)), (KEY, _key_pem(key)), (CERTIFICATE, _pem(certificate))):
            write_private(folder / name, text)
        return folder

    def _make(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("AgentMesh development CA")
        certificate = (
            _builder("AgentMesh development CA", name, key, timedelta(days=AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, SHA256())
        )
        write_private(self._folder / ROOTS, _pem(certificate))
        write_private(self._folder / "ca.key", _key_pem(key))


def _builder(subject: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, lifetime: timedelta) -> x509.CertificateBuilder:
    now = SYSTEM_CLOCK.now()
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=_name(subject),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=min(now, now + lifetime) - _BACKDATED,
        not_valid_after=now + lifetime,
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, TRUST_DOMAIN), x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def issue_all(folder: Path, hosts: Sequence[str] = LOCAL_NAMES) -> DevelopmentAuthority:
    """Creates or renews the certificates of all services."""
    authority = DevelopmentAuthority(folder)
    for identity in SERVICES:
        authority.issue(identity, hosts)
    return authority


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local.secrets.certs", description="Creates certificates for developing with TLS between the services."
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of the authority; created if it does not exist")
    parser.add_argument(
        "--host", action="append", default=[], metavar="NAME", help="additional DNS name or IP address of the servers; repeatable"
    )
    options = parser.parse_args(arguments)
    issue_all(options.folder, (*LOCAL_NAMES, *options.host))


if __name__ == "__main__":
    main()
